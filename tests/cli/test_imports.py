"""What people type often starts at once: a command imports what it needs, not what the gateway needs."""

from __future__ import annotations

import json
import subprocess
import sys

from scripts.devenv.places import REPOSITORY

GATEWAY = ("boto3", "botocore", "cel_expr_python", "fastapi", "jwt", "mitmproxy.http", "mitmproxy.master", "uvicorn")
EVIDENCE = ("cryptography", "structlog")
ABSENT = {
    "addons.cli": (*GATEWAY, *EVIDENCE, "httpx", "mitmproxy", "pydantic", "sqlalchemy"),
    "addons.cli.token": (*GATEWAY, *EVIDENCE, "asyncio", "httpx", "mitmproxy", "pydantic", "sqlalchemy", "yaml"),
    "addons.cli.approvals": (*GATEWAY, *EVIDENCE, "httpx", "sqlalchemy"),
    "addons.cli.status": (*GATEWAY, *EVIDENCE, "sqlalchemy"),
    "addons.cli.sessions": (*GATEWAY, "sqlalchemy"),
    "addons.cli.locks": GATEWAY,
}
"""Command -> what it and those before it must not have imported."""
PROGRAM = """
import importlib, json, sys
found = {}
for command, absent in json.loads(sys.argv[1]).items():
    importlib.import_module(command)
    found[command] = sorted(sys.modules.keys() & set(absent))
print(json.dumps(found))
"""


def test_commands_import_what_they_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(ABSENT)],
        capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout) == {command: [] for command in ABSENT}
