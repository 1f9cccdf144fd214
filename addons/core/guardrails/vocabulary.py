"""The variables of the rule language in words, for the reference; their types are in `cel`, their values in `facts`."""

from __future__ import annotations

from collections.abc import Mapping

DESCRIPTIONS: Mapping[str, str] = {
    "object": "what the write results in (patches and protobuf are read by the API server in a dry run); null for"
    " reads, deletes and streams",
    "oldObject": "what is there now, for update, patch and delete; null when there is nothing",
    "podSpecs": "every PodSpec of `object`: pods, workloads, cron jobs, templates, debug containers, custom resources",
    "oldPodSpecs": "the same of `oldObject`",
    "containers": "containers, init containers and ephemeral containers of all `podSpecs`",
    "podSecurity": "`baseline` and `restricted`: the checks of the Pod Security Standards that some pod of `object`"
    " fails, by their ids in k8s.io/pod-security-admission (`hostNamespaces`, `privileged`, `runAsNonRoot`, …)",
    "changedLabels": 'labels of `object` that are new or have another value, by key; with the value `""`, those that'
    " are gone",
    "containerChanges": "what containers of an existing object will run instead, as `container` and `field`: `added`,"
    " `image` (another repository), `tag`, `command`, `args`, `lifecycle`, `probe`",
    "newSecrets": "Secrets and other credentials that pods name and did not before, as `name` and `through`: `env`,"
    " `envFrom`, `volumes`, `imagePullSecrets`, `serviceAccountToken` (for another audience), `podCertificate`",
    "request": '`operation` (CREATE, UPDATE, DELETE, CONNECT or `""`), `resource.group`, `.version`, `.resource`,'
    " `subResource`, `namespace`, `name`, `dryRun`, `options` (of a delete: `gracePeriodSeconds`, `propagationPolicy`,"
    " `orphanDependents`),"
    " `userInfo` (`username`, `groups`); and `verb`, `method`, `path`,"
    " `parts`, `fieldSelector`, `labelSelector`, `query` (lists of values by key), `upgrade` (`websocket`, `spdy` or"
    ' `""`)',
    "exec": "`argv`, `line` (argv joined by spaces), `program`, `programs` (behind `env`, `sh -c` and the like too),"
    " `shell`, `script` (the text after `-c`), `transfers` (ways in which plain commands move files: `in`, `out`),"
    " `container`, `stdin`, `tty`, `ports`",
    "proxy": "of `nodes/proxy`, `pods/proxy` and `services/proxy`: `scheme`, `name`, `port`, `path`, and for a node"
    ' `kubelet`: `metrics`, `status`, `pods`, `logs`, `command`, `debug` or `""`',
    "identity": "`iss`, `sub`, `aud`, `groups`, `act`, `owner`, `username`, `claims`",
    "grant": "`id`, `role`, `intent`, `grantedBy`, `notBefore`, `expires` (texts: `timestamp(grant.expires)`)",
    "connection": "the connection's name",
    "now": "the time",
    "frozen": "names of the [freeze windows](#freezewindow) this request falls into now",
    "rate": "`requests`, `writes`, `lists` (watches too), `denied` (refused with 403): how many this identity made on"
    " this connection in the last 60 seconds, this one included; exact to 5 seconds, counted per machine",
    "affected": "how many objects a deletecollection reaches: a list with the same selectors, as the same role; with a"
    " selector, more than 500 are 501; 1 for every other request",
    "line": "with `match.each: line` or `output`: `text`, `source` (`stdin`, `stdout`, `stderr`), `programs` that a"
    " shell would start if the line were a script",
    "file": "with `match.each: file`: `name` in the archive, `direction` (`in` to the pod, `out` of it), `size`, `kind`"
    " (`file`, `directory`, `symlink`, `hardlink`, `other`; `unreadable` when the archive cannot be read), `link`",
    "port": "with `match.each: port`: the port that a connection of a port-forward goes to",
}
