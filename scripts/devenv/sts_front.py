"""The STS that the cluster knows: moto's server, with what moto lacks put in front of it.  Run as a process of its own.

One port, two ways in:
* plain HTTP: the endpoint for AssumeRole (`AWS_ENDPOINT_URL_STS`); passed on to moto, the credentials it gives out are
  remembered here;
* CONNECT, for aws-iam-authenticator with HTTPS_PROXY: a tunnel to sts.REGION.amazonaws.com ends here in TLS with a
  certificate of the cluster's CA.  GetCallerIdentity is answered in the JSON form that the real STS gives to
  `Accept: application/json`, and the signature in the URL is checked (`sigv4.py`).
"""

import argparse
import asyncio
import json
import ssl
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import httpx

from scripts.devenv import plain_http
from scripts.devenv.sigv4 import Credentials, SignatureRefused, check_presigned

_NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"
# aws-iam-authenticator opens its health check on this port of every interface and goes on without it when it is taken.
_AUTHENTICATOR_HEALTH_PORT = 21363


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def parameter(self, name: str) -> str:
        """The first value in the query or the form body, or ""."""
        for source in (urlsplit(self.target).query, self.body.decode("latin-1")):
            if values := parse_qs(source).get(name):
                return values[0]
        return ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response."""

    status: int
    content_type: str
    body: bytes


class Front:
    """Answers STS requests from moto, for these roles only."""

    def __init__(self, moto: httpx.AsyncClient, role_arns: frozenset[str]) -> None:
        self._moto = moto
        self._role_arns = role_arns
        self._issued: dict[str, Credentials] = {}

    async def answer(self, request: Request) -> Answer:
        """What STS says to this request."""
        action = request.parameter("Action")
        if action == "GetCallerIdentity" and request.parameter("X-Amz-Signature"):
            return await self._caller_identity(request)
        if action == "AssumeRole" and (role_arn := request.parameter("RoleArn")) not in self._role_arns:
            # Moto gives out credentials for roles that do not exist; STS does not.
            return _error("AccessDenied", f"not authorized to perform: sts:AssumeRole on resource: {role_arn}")
        answer = await self._ask_moto(request, request.headers.get("authorization", ""))
        if action == "AssumeRole" and answer.status == HTTPStatus.OK:
            self._remember(answer.body)
        return answer

    async def _caller_identity(self, request: Request) -> Answer:
        try:
            query = urlsplit(request.target).query
            credentials = check_presigned(query, request.headers, self._issued, time.time())
        except SignatureRefused as refusal:
            return _error(str(refusal), "the presigned request was refused")
        # Moto looks for the caller in the Authorization header only.
        scope = request.parameter("X-Amz-Credential").partition("/")[2]
        authorization = f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope}"
        answer = await self._ask_moto(request, authorization)
        if answer.status != HTTPStatus.OK or "application/json" not in request.headers.get("accept", ""):
            return answer
        found = ElementTree.fromstring(answer.body).find(f"{_NAMESPACE}GetCallerIdentityResult")
        result = {child.tag.removeprefix(_NAMESPACE): child.text for child in found} if found is not None else {}
        document = {"GetCallerIdentityResponse": {"GetCallerIdentityResult": result}}
        return Answer(HTTPStatus.OK, "application/json", json.dumps(document).encode())

    async def _ask_moto(self, request: Request, authorization: str) -> Answer:
        headers = {"Authorization": authorization, "Content-Type": request.headers.get("content-type", "")}
        parts = urlsplit(request.target)
        reply = await self._moto.request(
            request.method, f"{parts.path}?{parts.query}", headers=headers, content=request.body
        )
        return Answer(reply.status_code, reply.headers.get("content-type", "text/xml"), reply.content)

    def _remember(self, body: bytes) -> None:
        found = ElementTree.fromstring(body).find(f".//{_NAMESPACE}Credentials")
        if found is None:
            return
        field = {child.tag.removeprefix(_NAMESPACE): child.text or "" for child in found}
        self._issued[field["AccessKeyId"]] = Credentials(
            access_key_id=field["AccessKeyId"],
            secret_access_key=field["SecretAccessKey"],
            session_token=field["SessionToken"],
            expires_at=datetime.fromisoformat(field["Expiration"]).timestamp(),
        )


def _error(code: str, message: str) -> Answer:
    text = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    body = f'<ErrorResponse xmlns="{_NAMESPACE[1:-1]}">{text}<RequestId>front</RequestId></ErrorResponse>'
    return Answer(HTTPStatus.FORBIDDEN, "text/xml", body.encode())


class Listener:
    """Speaks HTTP/1.1, one request per connection, and ends tunnels to the STS host names in TLS."""

    def __init__(self, front: Front, hosts: frozenset[str], tls: ssl.SSLContext) -> None:
        self._front = front
        self._hosts = hosts
        self._tls = tls

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection to its end."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            request = await _read(reader)
            if request.method == "CONNECT":
                if request.target not in {f"{host}:443" for host in self._hosts}:
                    await _write(writer, Answer(HTTPStatus.FORBIDDEN, "text/plain", b"only STS is behind this proxy\n"))
                    return
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await writer.drain()
                await writer.start_tls(self._tls)
                request = await _read(reader)
            await _write(writer, await self._front.answer(request))


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


async def _write(writer: asyncio.StreamWriter, answer: Answer) -> None:
    status = HTTPStatus(answer.status)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode("latin-1") + answer.body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def _run(options: argparse.Namespace) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(options.certificate, options.key)
    async with plain_http.async_client(base_url=options.moto, timeout=30) as moto:
        front = Front(moto, frozenset(options.role_arn))
        listener = Listener(front, frozenset(options.host), tls)
        with suppress(OSError):  # taken by another cluster here: just as good
            await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", _AUTHENTICATOR_HEALTH_PORT)
        server = await asyncio.start_server(listener.serve, "127.0.0.1", options.port)
        print(f"Running on 127.0.0.1:{options.port}", flush=True)
        await server.serve_forever()


def main() -> None:
    """The command line of the process."""
    parser = argparse.ArgumentParser(prog="sts-front", description="STS for the development cluster.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--moto", required=True, help="URL of moto's server")
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--host", action="append", required=True, help="a name of STS (may be repeated)")
    parser.add_argument("--role-arn", action="append", required=True, help="a role that exists (may be repeated)")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
