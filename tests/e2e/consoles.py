"""A console process beside a gateway, with a SAML provider, and what people's browsers and agents do at it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import yaml

from addons.core.token_exchange import EXCHANGE, JWT
from scripts.devenv import forkserver, plain_http, saml_idp
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.places import REPOSITORY
from scripts.devenv.processes import Child
from scripts.devenv.saml_idp import SamlIdp
from tests.e2e.agent import eventually

PROVIDER = "people-and-agents"
"""The gateway's OpenID provider, by name."""
OTHER = "elsewhere"
"""A second connection of the gateway, to the same cluster by another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """Running beside `gateway`, whose rules name it and the SAML provider `idp`."""

    url: str
    gateway: GatewayEnv
    idp: SamlIdp
    child: Child
    browser: httpx.Client = field(default_factory=plain_http.client)
    """Of everybody here; it keeps the console's cookie."""

    def post(self, path: str, /, headers: Mapping[str, str] | None = None, **form: Any) -> httpx.Response:
        """What one of its endpoints answers to a form."""
        return self.browser.post(f"{self.url}{path}", data=form, headers=headers)

    def exchange(self, subject_token: str, proof: str = "", **form: str) -> httpx.Response:
        """What it says to a proof of who somebody is."""
        asked = {"grant_type": EXCHANGE, "subject_token": subject_token, "subject_token_type": JWT} | form
        return self.post("/token", {"DPoP": proof} if proof else None, **asked)

    def token(self, subject_token: str, **form: str) -> str:
        """A session token for it."""
        answer = self.exchange(subject_token, **form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def browse(self, url: str, name: str) -> httpx.Response:
        """Somebody's browser goes to `url`, signs in at the SAML provider, and posts what it says: what comes then."""
        target, form = self.response(url, name)
        return self.browser.post(target, data=form)

    def response(self, url: str, name: str) -> tuple[str, dict[str, str]]:
        """What the SAML provider says of somebody whose browser went to `url`, and where that is to be posted."""
        begun = self.browser.get(url)
        assert begun.status_code == 303, begun.text
        return self.idp.answer(begun.headers["location"], name)

    def log(self) -> str:
        """What it has said."""
        return Path(self.child.log).read_text()


def start_console(gateway: GatewayEnv, folder: Path, **spec: Any) -> Console:
    """Names console and SAML provider in the gateway's rules, and starts both; `spec` is more of the console's."""
    idp = saml_idp.start(folder)
    settings = yaml.safe_load(gateway.conf.read_text())
    url = f"http://127.0.0.1:{settings['console_port']}"
    _write_rules(gateway.rules, {"url": url, **spec}, idp)
    eventually("the rules in force", lambda: "policy loaded" in gateway.log.read_text(), 20)
    child = forkserver.spawn(
        "console",
        [sys.executable, "-m", "addons.cli", "console", "--conf", gateway.conf],
        folder / "console.log",
        {"PYTHONPATH": str(REPOSITORY), "PYTHONSAFEPATH": "1"},
    )
    console = Console(url=url, gateway=gateway, idp=idp, child=child)
    eventually("the console", lambda: '"ready"' in console.log() and _serves(url), 30)
    idp.add_service_provider("chaperone", plain_http.get(f"{url}/saml/metadata").content)
    return console


def code_of(answer: httpx.Response) -> str:
    """The code that a browser takes back to its machine."""
    assert answer.status_code == 303, answer.text
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


def _serves(url: str) -> bool:
    try:
        return plain_http.get(f"{url}/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def _write_rules(rules: Path, console: dict[str, Any], idp: SamlIdp) -> None:
    """The access rules are for callers of one provider each, now that there are two."""
    for file in rules.rglob("access/*.yaml"):
        documents = list(yaml.safe_load_all(file.read_text()))
        for document in documents:
            document["spec"]["identityProvider"] = PROVIDER
        documents.append(_access("people", "workforce", ["admins"], documents[0]["spec"]["role"]))
        file.write_text(json_documents(documents))
    (connection,) = rules.rglob("connections/*.yaml")
    document = yaml.safe_load(connection.read_text())
    other = {
        **document,
        "metadata": {"name": OTHER},
        "spec": {**document["spec"], "host": "elsewhere.cluster.test:443"},
    }
    connection.write_text(json_documents([document, other]))
    saml = {
        "entityId": idp.entity_id,
        "ssoUrl": idp.sso_url,
        "certificates": [idp.certificate],
        "attributes": {"groups": saml_idp.GROUPS},
    }
    (rules / "identity" / "console.yaml").write_text(
        json_documents([_document("Console", "console", console), _document("SamlProvider", "workforce", saml)])
    )


def _access(name: str, provider: str, groups: list[str], role: str) -> dict[str, Any]:
    spec = {"identityProvider": provider, "groups": groups, "connections": ["development"], "role": role}
    return _document("Access", name, spec)


def _document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "chaperone/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def json_documents(documents: list[dict[str, Any]]) -> str:
    """Several documents in one file; JSON is YAML."""
    return "\n---\n".join(json.dumps(document, indent=1) for document in documents)
