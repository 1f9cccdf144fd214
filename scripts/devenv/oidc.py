"""Gets ID tokens from the cluster's OpenID provider the way a program with a person behind it does.

The provider (oidc-provider-mock) is a process of its own and signs with a key that nobody else has: each token here
comes out of a whole authorization code flow, nothing is signed locally.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, quote, urlsplit

import httpx

from scripts.devenv import plain_http

# The provider lets any client use any redirect address; it is never dialled, only read.
_REDIRECT = "http://127.0.0.1/callback"
_SCOPE = "openid profile email"


def mint(
    issuer: str,
    sub: str,
    *,
    groups: Sequence[str] = (),
    claims: Mapping[str, object] | None = None,
    aud: str = "chaperone",
) -> str:
    """An ID token of `issuer` for `sub` with these groups and further claims, valid for one hour.

    `aud` is the client id of the flow.  Claims belong to the subject at the provider: a later call for the same subject
    replaces them.
    """
    with plain_http.client(base_url=issuer, timeout=30) as provider:
        profile = {"groups": list(groups), **(claims or {})}
        provider.put(f"/users/{quote(sub, safe='')}", json=profile).raise_for_status()
        metadata = provider.get("/.well-known/openid-configuration").raise_for_status().json()
        code = _authorize(provider, metadata["authorization_endpoint"], sub, aud)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": _REDIRECT}
        reply = provider.post(metadata["token_endpoint"], data=form, auth=(aud, "any secret will do"))
        return str(reply.raise_for_status().json()["id_token"])


def _authorize(provider: httpx.Client, endpoint: str, sub: str, client_id: str) -> str:
    query = {"client_id": client_id, "redirect_uri": _REDIRECT, "response_type": "code", "scope": _SCOPE, "state": "s"}
    reply = provider.post(endpoint, params=query, data={"sub": sub})
    location = reply.headers.get("location", "")
    code = parse_qs(urlsplit(location).query).get("code")
    if not code:
        raise RuntimeError(f"the OpenID provider gave no code ({reply.status_code}, Location {location!r})")
    return str(code[0])
