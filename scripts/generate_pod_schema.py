"""Writes addons/core/guardrails/pod_schema.py from the OpenAPI document of the core API.

    python -m scripts.generate_pod_schema OPENAPI

OPENAPI is `api/openapi-spec/v3/api__v1_openapi.json` of the Go module k8s.io/kubernetes (`go mod download -json
k8s.io/kubernetes@v1.37.2` names its folder).
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parent.parent / "addons" / "core" / "guardrails" / "pod_schema.py"
ROOT = "io.k8s.api.core.v1.PodSpec"
SCALARS = {"string": "str", "integer": "int", "boolean": "bool"}
TEMPLATE = '''"""The fields of a PodSpec, as of Kubernetes {version}. Generated: scripts/generate_pod_schema.py.

A type is its name and its fields as `field:type`; a line that begins with spaces goes on with the one before. `[T]` is
a list, `{{T}}` a map from text, `any` is not looked into.
"""

TYPES = """
{lines}
"""
'''


def main(document: Path) -> None:
    """Write the module, and say how many types there are."""
    schemas = json.loads(document.read_text())["components"]["schemas"]
    version = next(part for part in document.parts if part.startswith("kubernetes@v")).partition("@v")[2]
    found: dict[str, str] = {}
    _collect(ROOT, schemas, found)
    lines = "\n".join(textwrap.fill(found[name], 118, subsequent_indent="  ") for name in sorted(found))
    OUTPUT.write_text(TEMPLATE.format(version=version, lines=lines))
    sys.stdout.write(f"{OUTPUT}: {len(found)} types\n")


def _collect(name: str, schemas: Any, found: dict[str, str]) -> None:
    properties = schemas[name].get("properties")
    if name in found or not properties:
        return
    found[name] = ""  # a type may refer to itself
    fields = [f"{field}:{_type(schema, schemas, found)}" for field, schema in properties.items()]
    found[name] = f"{_short(name)} {' '.join(fields)}"


def _type(schema: Any, schemas: Any, found: dict[str, str]) -> str:
    if "allOf" in schema:  # a reference with a description or a default
        schema = schema["allOf"][0]
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        _collect(name, schemas, found)
        return _short(name) if name in found else _type(schemas[name], schemas, found)
    if schema.get("type") == "array":
        return f"[{_type(schema['items'], schemas, found)}]"
    if "additionalProperties" in schema:
        return f"{{{_type(schema['additionalProperties'], schemas, found)}}}"
    return SCALARS.get(schema.get("type", ""), "any")


def _short(name: str) -> str:
    return name.rpartition(".")[2]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
