"""A SAML 2.0 identity provider process, for tests: people sign in at it with a name and a password, in a form."""

import html
import re
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from scripts.devenv import golang, plain_http, processes
from scripts.devenv.components import LOOPBACK
from scripts.devenv.places import DEVENV, DevelopmentProblem
from scripts.devenv.processes import Child

SOURCE = DEVENV / "samlidp"
READY_SECONDS = 10.0
GROUPS = "urn:oid:1.3.6.1.4.1.5923.1.1.1.1"
"""The attribute that it gives a person's groups in (eduPersonAffiliation)."""
MAIL = "urn:oid:0.9.2342.19200300.100.1.3"
PASSWORD = "hunter2"
_LISTENING = re.compile(r"listening on (\S+:\d+)")
_INPUT = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlIdp:
    """Running. `url` is its address."""

    url: str
    certificate: str
    """What it signs with, in PEM form."""
    child: Child

    @property
    def entity_id(self) -> str:
        """The Issuer of its assertions."""
        return f"{self.url}/metadata"

    @property
    def sso_url(self) -> str:
        """Where browsers are sent to."""
        return f"{self.url}/sso"

    def add_person(self, name: str, groups: list[str]) -> None:
        """Somebody who can sign in, with PASSWORD."""
        person = {"name": name, "password": PASSWORD, "groups": groups, "email": f"{name}@example.com"}
        httpx.put(f"{self.url}/users/{name}", json=person, trust_env=False).raise_for_status()

    def add_service_provider(self, name: str, metadata: bytes) -> None:
        """Who may send people here."""
        httpx.put(f"{self.url}/services/{name}", content=metadata, trust_env=False).raise_for_status()

    def answer(self, sent_to: str, name: str) -> tuple[str, dict[str, str]]:
        """What somebody's browser posts, and where, once they have signed in where it was sent to."""
        page = plain_http.get(sent_to)
        form = {**_fields(page.text), "user": name, "password": PASSWORD}
        signed_in = plain_http.post(self.sso_url, data=form)
        action = re.search(r'<form[^>]* action="([^"]+)"', signed_in.text)
        if action is None:
            raise DevelopmentProblem(f"the SAML provider did not sign {name} in: {signed_in.text[:300]}")
        return html.unescape(action[1]), _fields(signed_in.text)

    def stop(self) -> None:
        """Ends it."""
        processes.stop([self.child])


def start(folder: Path) -> SamlIdp:
    """Starts one; its log and certificate go into `folder`."""
    log, certificate = folder / "saml-idp.log", folder / "saml-idp.pem"
    command: list[str | Path] = [golang.own_program("saml-idp", SOURCE), "-certificate", certificate]
    child = processes.spawn("saml-idp", [*command, "-address", f"{LOOPBACK}:0"], log)
    deadline = time.monotonic() + READY_SECONDS
    while (listening := _LISTENING.search(log.read_text())) is None:
        processes.require_running([child])
        if time.monotonic() > deadline:
            raise DevelopmentProblem(f"the SAML provider did not get ready within {READY_SECONDS:.0f} s: see {log}")
        time.sleep(0.02)
    return SamlIdp(url=f"http://{listening[1]}", certificate=certificate.read_text(), child=child)


def _fields(page: str) -> dict[str, str]:
    return {html.unescape(name): html.unescape(value) for name, value in _INPUT.findall(page)}
