"""How each server of the cluster is run: its certificates, files and command line, and nothing else.

Flags follow what EKS shows to its users where that can be seen from outside (RBAC, service account admission, the token
webhook), and otherwise what starts fastest.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.devenv.certificates import Authority, KeyPair, signing_key
from scripts.devenv.places import CONFIG

LOOPBACK = "127.0.0.1"
# `api.cluster.test` is for clients that never proxy a loopback address (Go's): a gateway maps it to api_url.
API_NAMES = ("kubernetes", "kubernetes.default.svc", "localhost", LOOPBACK, "10.96.0.1", "api.cluster.test")
REGION = "us-east-1"
STS_NAMES = (f"sts.{REGION}.amazonaws.com", "sts.amazonaws.com")
ACCOUNTS = tuple(str(123456789012 + number) for number in range(16))
"""The same roles are mapped in each: by its account, the audit log tells who of several users of one cluster it was."""
ACCOUNT = ACCOUNTS[0]
ROLES = ("view", "edit", "admin", "narrow")
"""`narrow` has no rights but those that somebody binds to its group."""
UNMAPPED = "unmapped"
"""A role of AWS that the cluster maps to nobody."""
EKS_CLUSTER_NAME = "development"

type Argv = Sequence[str | Path]


def role_arn(role: str, account: str = ACCOUNT) -> str:
    """The ARN of the IAM role whose sessions are in the group `chaperone:ROLE`."""
    return f"arn:aws:iam::{account}:role/agent-{role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """One loopback port per listener."""

    etcd: int
    etcd_peer: int
    api: int
    kubelet: int
    authenticator: int
    moto: int
    sts: int
    oidc: int
    workload: int


class Files:
    """Everything the servers read, written into `folder`."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.folder = folder
        self.ports = ports
        self.api_url = f"https://{LOOPBACK}:{ports.api}"
        self.audit_log = folder / "audit.log"
        pki = folder / "pki"
        authority = Authority(pki)
        self.ca = authority.pair
        self.service_accounts = signing_key(pki, "service-accounts")
        self.etcd = authority.issue("etcd", "etcd", hosts=[LOOPBACK])
        self.etcd_client = authority.issue("etcd-client", "kube-apiserver")
        self.api = authority.issue("kube-apiserver", "kube-apiserver", hosts=API_NAMES)
        self.kubelet = authority.issue("kubelet", "kubelet", hosts=[LOOPBACK])
        self.kubelet_client = authority.issue("kubelet-client", "kube-apiserver-kubelet", groups=["system:masters"])
        self.sts = authority.issue("sts", STS_NAMES[0], hosts=STS_NAMES)
        self.authenticator = self._authenticator_state(authority)
        self.admin_client = authority.issue("admin-client", "admin", groups=["system:masters"])
        self.kubeconfigs = {"admin": self._kubeconfig("admin", self.admin_client)} | {
            name: self._kubeconfig(name, authority.issue(f"{name}-client", user, groups=groups))
            for name, user, groups in [
                ("kube-controller-manager", "system:kube-controller-manager", []),
                ("kube-scheduler", "system:kube-scheduler", []),
                ("kwok", "system:kwok", ["system:masters"]),
            ]
        }
        self.webhook = self._webhook_kubeconfig()
        self.work = folder / "pod-files"
        self.work.mkdir()
        (self.work / "index.html").write_text("hello from the pod\n")
        self.pod_log = folder / "pod.log"
        self.pod_log.write_text("2026-01-01T00:00:00Z stdout F listening on :8080\n")
        self.kwok = self._kwok_config()

    def _authenticator_state(self, authority: Authority) -> Path:
        state = self.folder / "aws-iam-authenticator"
        state.mkdir()
        pair = authority.issue("aws-iam-authenticator", "aws-iam-authenticator", hosts=[LOOPBACK])
        pair.certificate.rename(state / "cert.pem")
        pair.key.rename(state / "key.pem")
        mappings = [
            {
                "roleARN": role_arn(role, account),
                # The default username of an EKS access entry for a role.
                "username": f"arn:aws:sts::{account}:assumed-role/agent-{role}/{{{{SessionName}}}}",
                "groups": [f"chaperone:{role}"],
            }
            for account in ACCOUNTS
            for role in ROLES
        ]
        config = {"clusterID": EKS_CLUSTER_NAME, "server": {"mapRoles": mappings}}
        (state / "config.json").write_text(json.dumps(config))
        return state

    def _kubeconfig(self, name: str, client: KeyPair) -> Path:
        user = {"client-certificate": str(client.certificate), "client-key": str(client.key)}
        return self._write_kubeconfig(name, self.api_url, user)

    def _webhook_kubeconfig(self) -> Path:
        return self._write_kubeconfig("webhook", f"https://{LOOPBACK}:{self.ports.authenticator}/authenticate", {})

    def _write_kubeconfig(self, name: str, server: str, user: Mapping[str, str]) -> Path:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "cluster", "cluster": {"server": server, "certificate-authority": str(self.ca.certificate)}}
            ],
            "users": [{"name": name, "user": dict(user)}],
            "contexts": [{"name": name, "context": {"cluster": "cluster", "user": name}}],
            "current-context": name,
        }
        path = self.folder / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(document, indent=2))  # JSON is YAML
        return path

    def _kwok_config(self) -> Path:
        text = (CONFIG / "kwok.yaml").read_text()
        for name, value in [
            ("WORK_DIR", str(self.work)),
            ("LOG_FILE", str(self.pod_log)),
            ("WORKLOAD_PORT", str(self.ports.workload)),
        ]:
            text = text.replace(f"@{name}@", value)
        path = self.folder / "kwok.yaml"
        path.write_text(text)
        return path


def etcd(files: Files) -> Argv:
    """The store; TLS with client certificates, so that no other cluster's API server can mistake it for its own."""
    client, peer = f"https://{LOOPBACK}:{files.ports.etcd}", f"http://{LOOPBACK}:{files.ports.etcd_peer}"
    return [
        *("--name=default", f"--data-dir={files.folder / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn"),
        *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
        *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"),
        *(f"--cert-file={files.etcd.certificate}", f"--key-file={files.etcd.key}"),
        *("--client-cert-auth", f"--trusted-ca-file={files.ca.certificate}"),
    ]


def kube_apiserver(files: Files) -> Argv:
    """The API server: RBAC, tokens by aws-iam-authenticator as on EKS, every request in its audit log."""
    return [
        *(f"--bind-address={LOOPBACK}", f"--secure-port={files.ports.api}", f"--advertise-address={LOOPBACK}"),
        *(f"--tls-cert-file={files.api.certificate}", f"--tls-private-key-file={files.api.key}"),
        *(f"--client-ca-file={files.ca.certificate}", "--authorization-mode=Node,RBAC"),
        *(f"--etcd-servers=https://{LOOPBACK}:{files.ports.etcd}", f"--etcd-cafile={files.ca.certificate}"),
        *(f"--etcd-certfile={files.etcd_client.certificate}", f"--etcd-keyfile={files.etcd_client.key}"),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-signing-key-file={files.service_accounts.key}",
        f"--service-account-key-file={files.service_accounts.certificate}",
        # Nothing routes to service addresses here, and an endpoint on loopback would be refused.
        *("--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none", "--allow-privileged"),
        f"--kubelet-certificate-authority={files.ca.certificate}",
        f"--kubelet-client-certificate={files.kubelet_client.certificate}",
        f"--kubelet-client-key={files.kubelet_client.key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--authentication-token-webhook-config-file={files.webhook}",
        *(f"--audit-policy-file={CONFIG / 'audit-policy.yaml'}", f"--audit-log-path={files.audit_log}"),
        *("--audit-log-maxsize=1024", "--shutdown-delay-duration=0s"),
    ]


def kube_controller_manager(files: Files) -> Argv:
    """Deployments, service accounts, namespaces, garbage collection; serves nothing itself."""
    return [
        *(f"--kubeconfig={files.kubeconfigs['kube-controller-manager']}", "--leader-elect=false", "--secure-port=0"),
        *(f"--root-ca-file={files.ca.certificate}", "--use-service-account-credentials"),
        f"--service-account-private-key-file={files.service_accounts.key}",
        *(f"--cluster-signing-cert-file={files.ca.certificate}", f"--cluster-signing-key-file={files.ca.key}"),
        # A laptop that slept must not find its pods evicted.
        "--node-monitor-grace-period=24h",
        # The default of 20 per second is what its start would wait for, five seconds long.
        *("--kube-api-qps=500", "--kube-api-burst=1000"),
        f"--flex-volume-plugin-dir={files.folder / 'flex-volume'}",
    ]


def kube_scheduler(files: Files) -> Argv:
    """Puts pods on nodes; serves nothing itself."""
    return [f"--kubeconfig={files.kubeconfigs['kube-scheduler']}", "--leader-elect=false", "--secure-port=0"]


def kwok(files: Files) -> Argv:
    """Plays the nodes, and the kubelet that exec, logs, attach and port-forward reach."""
    address = f"{LOOPBACK}:{files.ports.kubelet}"
    return [
        *(f"--kubeconfig={files.kubeconfigs['kwok']}", f"--config={files.kwok}", "--manage-all-nodes"),
        *(f"--node-ip={LOOPBACK}", f"--node-port={files.ports.kubelet}", f"--server-address={address}"),
        *(f"--tls-cert-file={files.kubelet.certificate}", f"--tls-private-key-file={files.kubelet.key}"),
        "--node-lease-duration-seconds=40",
    ]


def aws_iam_authenticator(files: Files) -> Argv:
    """The token webhook, as on EKS."""
    state = files.authenticator
    return [
        *("server", f"--config={state / 'config.json'}", f"--state-dir={state}", "--backend-mode=MountedFile"),
        *(f"--address={LOOPBACK}", f"--port={files.ports.authenticator}", "--kubeconfig-pregenerated"),
    ]


def aws_iam_authenticator_environment(files: Files) -> dict[str, str]:
    """Leads its calls to STS through the front, whose certificate is of the cluster's CA."""
    return {
        "HTTPS_PROXY": f"http://{LOOPBACK}:{files.ports.sts}",
        "SSL_CERT_FILE": str(files.ca.certificate),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": REGION,
        # Nothing of the person's own settings: a profile that cannot be loaded would end it.
        "AWS_PROFILE": "",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


def sts_front(files: Files) -> Argv:
    """Moto's STS in the form and with the checks of the real one."""
    hosts = [part for name in STS_NAMES for part in ("--host", name)]
    arns = [role_arn(role, account) for account in ACCOUNTS for role in (*ROLES, UNMAPPED)]
    return [
        *("--port", str(files.ports.sts), "--moto", f"http://{LOOPBACK}:{files.ports.moto}"),
        *("--certificate", str(files.sts.certificate), "--key", str(files.sts.key), *hosts),
        *(part for arn in arns for part in ("--role-arn", arn)),
    ]
