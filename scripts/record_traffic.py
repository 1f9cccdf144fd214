"""Records what kubectl asks an API server for, as the corpus of legitimate traffic that the gateway must never refuse.

    python -m scripts.record_traffic        # starts a cluster of its own, writes tests/conformance/corpus/traffic.jsonl

kubectl says at verbosity 6 which requests it makes. What it does not say (streams) and what other clients send (helm,
informers of client-go) is listed here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.devenv.cluster import Cluster, start, stop
from scripts.devenv.places import REPOSITORY

CORPUS = REPOSITORY / "tests" / "conformance" / "corpus" / "traffic.jsonl"
_REQUEST = re.compile(r'verb="(?P<method>[A-Z]+)" url="https://[^/"]+(?P<target>/[^"]*)"')
_COMMANDS = """
create namespace shop
create deployment web -n shop --image=registry.test/web:1 --replicas=2
create configmap c -n shop --from-literal=a=b
create secret generic s -n shop --from-literal=a=b
create serviceaccount robot -n shop
create role r -n shop --verb=get --resource=pods
create rolebinding b -n shop --role=r --serviceaccount=shop:robot
create job j -n shop --image=registry.test/job:1
create cronjob cj -n shop --image=registry.test/job:1 --schedule=@daily
create ingress i -n shop --rule=shop.test/=web:80
create quota q -n shop --hard=pods=100
create poddisruptionbudget p -n shop --selector=app=web --min-available=1
create priorityclass low --value=1
create service clusterip svc -n shop --tcp=80:80
create token robot -n shop
get pods
get pods -A
get pods -n shop -o wide
get pods -n shop -l app=web,tier!=db -o json
get pods -n shop --field-selector=status.phase=Running
get pods -n shop --chunk-size=1
get deployments,services,configmaps -n shop
get all -n shop
get deployment web -n shop -o yaml
get nodes -o name
get events -n shop --sort-by=.lastTimestamp
get secrets -n shop
get crds
get --raw /version
get --raw /api/v1/namespaces/shop/pods?limit=1
api-resources
api-versions
version
cluster-info
describe pods -n shop
describe deployment web -n shop
describe node
describe secret s -n shop
explain pods.spec
auth can-i list pods -n shop
auth can-i --list -n shop
auth whoami
events -n shop
label deployment web -n shop tier=front
annotate deployment web -n shop note=x
scale deployment web -n shop --replicas=3
autoscale deployment web -n shop --max=4
set image deployment/web -n shop web=registry.test/web:2
set env deployment/web -n shop A=b
rollout status deployment/web -n shop --timeout=20s
rollout history deployment/web -n shop
rollout restart deployment/web -n shop
rollout undo deployment/web -n shop
rollout pause deployment/web -n shop
rollout resume deployment/web -n shop
expose deployment web -n shop --port=80 --name=exposed
patch deployment web -n shop -p {"spec":{"replicas":2}}
patch deployment web -n shop --type=merge -p {"spec":{"replicas":2}}
patch deployment web -n shop --type=json -p [{"op":"replace","path":"/spec/replicas","value":2}]
apply -n shop -f MANIFEST
apply -n shop --server-side --force-conflicts -f MANIFEST
diff -n shop -f MANIFEST
replace -n shop -f MANIFEST
wait deployment/web -n shop --for=condition=Available --timeout=20s
run shell -n shop --image=registry.test/shell:1
logs -n shop shell
logs -n shop shell --tail=5 --since=1h --timestamps
top pods -n shop
cordon node-1
uncordon node-1
taint node node-1 a=b:NoSchedule
taint node node-1 a-
delete pod shell -n shop --wait=false
delete pod shell -n shop --grace-period=0 --force
delete deployment web -n shop --cascade=orphan
delete configmaps -n shop --all
delete pods -n shop -l app=web --wait=false
delete namespace shop --wait=false
"""
_MANIFEST = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "applied", "namespace": "shop"},
    "data": {"a": "b"},
}
_POD = "/api/v1/namespaces/shop/pods/web-5c6b9-abcde"
_WATCH = "allowWatchBookmarks=true&resourceVersion=12345&timeoutSeconds=431&watch=true"
_OTHERS = [  # streams of kubectl, then helm, then informers and leader election of client-go
    ("GET", f"{_POD}/exec?command=sh&command=-c&command=ls+-l+%2Fsrv&container=web&stderr=true&stdout=true"),
    ("POST", f"{_POD}/exec?command=cat&container=web&stdin=true&stdout=true&tty=true"),
    ("GET", f"{_POD}/attach?container=web&stdin=true&stdout=true&tty=true"),
    ("GET", f"{_POD}/portforward"),
    ("POST", f"{_POD}/portforward?ports=8080"),
    ("GET", f"{_POD}/log?container=web&follow=true&tailLines=10&timestamps=true"),
    ("PATCH", f"{_POD}/ephemeralcontainers"),
    ("POST", f"{_POD}/eviction"),
    ("GET", "/api/v1/namespaces/shop/secrets?labelSelector=name%3Dweb%2Cowner%3Dhelm%2Cstatus%3Ddeployed"),
    ("GET", "/api/v1/namespaces/shop/secrets?labelSelector=owner%3Dhelm"),
    ("POST", "/api/v1/namespaces/shop/secrets?fieldManager=helm"),
    ("PUT", "/api/v1/namespaces/shop/secrets/sh.helm.release.v1.web.v1"),
    ("DELETE", "/api/v1/namespaces/shop/secrets/sh.helm.release.v1.web.v1"),
    ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=helm&fieldValidation=Strict&force=false"),
    ("GET", "/api/v1/pods?limit=500&resourceVersion=0"),
    ("GET", f"/api/v1/pods?{_WATCH}"),
    ("GET", f"/api/v1/pods?{_WATCH}&resourceVersionMatch=NotOlderThan&sendInitialEvents=true"),
    ("GET", f"/api/v1/namespaces/shop/configmaps?{_WATCH}&fieldSelector=metadata.name%3Dc"),
    ("GET", f"/apis/x.example.com/v1alpha1/things?{_WATCH}"),
    ("GET", "/api/v1/namespaces/shop/pods?continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ&limit=500"),
    ("PUT", "/apis/coordination.k8s.io/v1/namespaces/shop/leases/controller"),
    ("PUT", "/apis/apps/v1/namespaces/shop/deployments/web/status"),
    ("GET", "/apis/apps/v1/namespaces/shop/deployments/web/scale"),
    ("GET", "/openapi/v3/apis/apps/v1?hash=0A1B"),
    ("GET", "/api?timeout=32s"),
    ("GET", "/apis?timeout=32s"),
    ("GET", "/readyz?verbose"),
    ("GET", "/livez"),
    ("HEAD", "/api/v1/namespaces/shop"),
]


def main() -> None:
    """Write the corpus anew."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = start(Path(folder), owner_pid=os.getpid())
        try:
            recorded = sorted(set(_recorded(cluster, Path(folder) / "manifest.json")) | set(_OTHERS))
        finally:
            stop(Path(folder))
    CORPUS.write_text("".join(f"{json.dumps([method, target, []])}\n" for method, target in recorded))
    print(f"{CORPUS.relative_to(REPOSITORY)}: {len(recorded)} requests")


def _recorded(cluster: Cluster, manifest: Path) -> Iterator[tuple[str, str]]:
    manifest.write_text(json.dumps(_MANIFEST))
    for line in _COMMANDS.strip().splitlines():
        print(f"kubectl {line}", flush=True)
        arguments = [str(manifest) if word == "MANIFEST" else word for word in line.split()]
        command = [cluster.kubectl, f"--kubeconfig={cluster.admin_kubeconfig}", "-v=6", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        for found in _REQUEST.finditer(done.stderr):
            yield found["method"], found["target"]


if __name__ == "__main__":
    main()
