"""Somebody who sends requests as bytes, and what must come of each: one reading, or a refusal and nothing sent."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.bypasses.oracle import Oracle
from tests.e2e.raw import Answer, ask, request, tunnel
from tests.support.kubernetes import Kubectl


@dataclass(frozen=True, slots=True)
class Caller:
    """`NS` in targets, bodies and readings stands for the namespace that `admin` looks at."""

    gateway: GatewayEnv
    token: str
    oracle: Oracle
    admin: Kubectl

    def asks(
        self,
        target: str,
        *headers: str | bytes,
        method: str = "GET",
        body: bytes | None = None,
        seconds: float = 10,
        head_only: bool = False,
    ) -> Answer:
        """The answer to one request, or just its head: of what does not end."""
        named = self._named(target)
        content = None if body is None else body.replace(b"NS", self.admin.namespace.encode())
        whole = request(self.gateway, named, *headers, token=self.token, method=method, body=content)
        return head_of(self.gateway, whole) if head_only else ask(self.gateway, whole, seconds=seconds)

    def is_read(self, as_what: str, target: str, *headers: str | bytes, **options: object) -> Answer:
        """The answer to a request that must arrive, and be read as `as_what` by the API server and by the gateway."""
        answer = self.asks(target, *headers, **options)  # type: ignore[arg-type]
        assert self.oracle.readings() == [self._named(as_what)], answer
        return answer

    def is_refused(self, code: int, rule: str, target: str, *headers: str | bytes, **options: object) -> Answer:
        """The answer to a request that must not be sent: this code, and a reason that names this rule."""
        answer = self.asks(target, *headers, **options)  # type: ignore[arg-type]
        assert answer.status == code, answer
        assert f"rule: {rule}\n".encode() in answer.body.replace(b"\\n", b"\n"), answer
        assert self.oracle.arrived() == []
        return answer

    def _named(self, text: str) -> str:
        return text.replace("NS", self.admin.namespace)


def head_of(gateway: GatewayEnv, whole: bytes) -> Answer:
    """The answer to these bytes up to the end of its head, or of the connection."""
    with tunnel(gateway) as tls:
        tls.sendall(whole)
        answer = b""
        while b"\r\n\r\n" not in answer and (piece := tls.recv(65536)):
            answer += piece
    return Answer(answer)
