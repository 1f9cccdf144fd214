"""Writes addons/core/builtin_resources.py from the discovery documents of a running API server and of its source.

    python -m scripts.generate_builtin_resources DISCOVERY --kubeconfig F

F names a server of the wanted version with default flags and no CRDs; DISCOVERY is `api/discovery` of the same version
of the Go module k8s.io/kubernetes (`go mod download -json k8s.io/kubernetes@v1.37.2` names its folder), which also has
the API versions that are off by default. The running gateway asks each cluster itself: the table is for where there is
none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parent.parent / "addons" / "core" / "builtin_resources.py"
STANDARD_VERBS = "create,delete,deletecollection,get,list,patch,update,watch"
TEMPLATE = '''"""The resources built into kube-apiserver {version}. Generated: scripts/generate_builtin_resources.py.

One line each: group/version, resource, kind, namespaced or cluster, verbs (`*` means STANDARD_VERBS).
"""

KUBERNETES = "{version}"
STANDARD_VERBS = "{standard_verbs}"
SERVED_BY_DEFAULT = """
{served}
"""
OFF_BY_DEFAULT = """
{off}
"""
'''


def main(discovery: Path, kubectl_options: list[str]) -> None:
    """Ask, write, and say how many there were."""

    def get(path: str) -> Any:
        return json.loads(subprocess.check_output(["kubectl", *kubectl_options, "get", "--raw", path]))

    version = get("/version")["gitVersion"].removeprefix("v")
    served = {line for path in _paths(get("/apis")) for line in _lines(get(path))}
    on = {line.partition(" ")[0] for line in served}
    off = {line for file in discovery.glob("*.json") for line in _lines(json.loads(file.read_text()))}
    off = {line for line in off if line.partition(" ")[0] not in on}
    OUTPUT.write_text(
        TEMPLATE.format(
            version=version,
            standard_verbs=STANDARD_VERBS,
            served="\n".join(sorted(served)),
            off="\n".join(sorted(off)),
        )
    )
    sys.stdout.write(f"{OUTPUT}: {len(served)} served by {version}, {len(off)} off by default\n")


def _paths(groups: Any) -> Iterator[str]:
    yield "/api/v1"
    for group in groups["groups"]:
        for version in group["versions"]:
            yield f"/apis/{version['groupVersion']}"


def _lines(document: Any) -> Iterator[str]:
    """One line per item of an APIResourceList; none for other documents."""
    for item in document["resources"] if document["kind"] == "APIResourceList" else ():
        verbs = ",".join(sorted(item["verbs"]))
        yield " ".join(
            (
                document["groupVersion"],
                item["name"],
                item["kind"],
                "namespaced" if item["namespaced"] else "cluster",
                "*" if verbs == STANDARD_VERBS else verbs,
            )
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
