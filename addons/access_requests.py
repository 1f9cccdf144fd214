"""Callers ask the gateway itself for access, on their cluster's own address; nothing of that reaches the cluster.

`POST /chaperone/v1/access-requests` with role, intent and seconds asks; `GET` lists the caller's own; `DELETE …/ID`
gives one back. Who may ask for what is decided in `core/access.py`, what follows in `core/access_request.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
from mitmproxy.http import HTTPFlow, Response

from addons.core import access_request as core
from addons.core.access import AccessPolicy
from addons.core.access_request import PATH, Wish, as_document
from addons.core.approval import ForbiddenApprover, InvalidTransition
from addons.core.refusal import Refusal
from addons.core.session import Session
from addons.edge.access_request_store import UnknownAccessRequest, access_requests, add_access_request, change
from addons.edge.store import TooManyPending, new_id
from addons.edge.store_thread import StoreThread
from addons.exchange import Exchange, exchange_of, need
from addons.refusal import STATUS_HEADERS, refuse, settled

_LOOK_BACK_SECONDS = 86400
_MISTAKES = (UnknownAccessRequest, ForbiddenApprover, InvalidTransition, TooManyPending, ValueError)


class AccessRequests:
    """`policy` gives the one an exchange is judged by; `now` gives Unix seconds."""

    def __init__(
        self, policy: Callable[[Exchange], AccessPolicy], store: StoreThread, now: Callable[[], float]
    ) -> None:
        self._policy, self._store, self._now = policy, store, now

    async def request(self, flow: HTTPFlow) -> None:
        """Answer what is for the gateway; leave all else alone."""
        path, request_id = flow.request.path[: len(PATH)], flow.request.path[len(PATH) :]
        if settled(flow) or path != PATH or request_id[:1] not in ("", "/"):
            return
        try:
            answer = await self._answer(flow, exchange_of(flow), request_id.lstrip("/"))
        except _MISTAKES as error:
            answer = Refusal(code=403, rule="access-request", why=str(error))
        if isinstance(answer, Refusal):
            refuse(flow, answer)
        else:
            exchange_of(flow).answered = True
            flow.response = Response.make(200, orjson.dumps(answer), STATUS_HEADERS)

    async def _answer(self, flow: HTTPFlow, exchange: Exchange, request_id: str) -> Refusal | Any:
        session, now = need(exchange.session, "session"), self._now()
        match flow.request.method, request_id:
            case "POST", "":
                wish = Wish.model_validate_json(need(flow.request.raw_content, "body"))
                return await self._ask(self._policy(exchange), session, wish, now)
            case "GET", "":
                found = await self._store.call(access_requests, now - _LOOK_BACK_SECONDS)
                return [as_document(request, now) for request in found if request.is_of(session)]
            case "DELETE", _ if request_id:
                released = await self._store.call(
                    change, request_id, lambda request: core.release(request, session.identity, "", now)
                )
                return as_document(released, now)
        return Refusal(code=405, rule="access-request", why="here access is asked for (POST), listed and given back")

    async def _ask(self, policy: AccessPolicy, session: Session, wish: Wish, now: float) -> Refusal | Any:
        request = policy.request(replace(session, intent=wish.intent), wish.role, wish.seconds, new_id(), now)
        if isinstance(request, Refusal):
            return request
        if not request.approvers:
            request = core.automatic(request, now)
        await self._store.call(add_access_request, request)
        return as_document(request, now)
