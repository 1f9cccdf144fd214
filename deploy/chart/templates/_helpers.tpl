{{- define "chaperone.name" -}}
{{ contains "chaperone" .Release.Name | ternary .Release.Name (printf "%s-chaperone" .Release.Name) | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "chaperone.selector" -}}
app.kubernetes.io/name: chaperone
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "chaperone.labels" -}}
{{ include "chaperone.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Where the CA is: with the state, or mounted read-only. */}}
{{- define "chaperone.certs" -}}
{{ eq .Values.ca.source "volume" | ternary "/var/lib/chaperone/certs" "/etc/chaperone/ca" }}
{{- end }}

{{- define "chaperone.kubeconfigs" -}}
/etc/chaperone/kubeconfigs
{{- end }}

{{- define "chaperone.console" -}}
/etc/chaperone/console
{{- end }}

{{- define "chaperone.pipelines" -}}
/etc/chaperone/pipelines
{{- end }}

{{- define "chaperone.dns" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
      podSelector: {matchLabels: {k8s-app: kube-dns}}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}
