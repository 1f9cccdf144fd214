from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.loaders import JSONFileLoader

from addons.core.connection import Connection
from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.sts import TOKEN_SECONDS, role_session_name
from addons.edge.aws_models import read_models
from addons.edge.credentials import Credentials, CredentialUnavailable
from addons.edge.sts import RENEW_TOKEN_AFTER, EksTokens, Role, _StsClients
from scripts.devenv.sigv4 import Credentials as Issued
from scripts.devenv.sigv4 import check_presigned
from tests.support.aws import AWS_ENV, Sts, sts

REGION = "eu-central-1"
ROLE = "arn:aws:iam::123456789012:role/web"


class Clock:
    """The real time, and what a test adds to it."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture(scope="module")
def service() -> Iterator[Sts]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in AWS_ENV.items():
            patch.setenv(name, value)
        with sts() as found:
            yield found


@pytest.fixture
def clock(service: Sts) -> Clock:
    service.asked.clear()
    service.failure, service.delay = None, 0
    return Clock()


@pytest.fixture
async def credentials(service: Sts, clock: Clock) -> AsyncIterator[Credentials]:
    eks = EksTokens()
    found = Credentials({"prod": connection(service.url)}, {"eks": eks.mint}, clock)
    yield found
    found.close()
    eks.close()


def connection(url: str) -> Connection:
    return Connection(
        name="prod", host="api.prod.example", port=443, address=("127.0.0.1", 1), server_name="x", ca_file="/ca",
        eks_cluster="prod-1", region=REGION, sts_endpoint_url=url,
    )  # fmt: skip


def grant(number: int = 1, ends_in: float = 3600, **fields: Any) -> Grant:
    now = time.time()
    who = Identity(iss="https://idp", sub=f"agent-{number}", aud=("c",), exp=now + 7200, owner="web team")
    values = {"id": f"grant-{number}", "identity": who, "connection": "prod", "role": ROLE, "not_before_at": now,
              "expires_at": now + ends_in, "intent": "INC-42", **fields}  # fmt: skip
    return Grant(**values)


async def landed(credentials: Credentials) -> None:
    """Wait for renewals in the background."""
    if credentials._flights:
        await asyncio.wait(credentials._flights.values())
    await asyncio.sleep(0)


async def test_one_role_session_serves_until_it_is_renewed(service: Sts, credentials: Credentials) -> None:
    token = await credentials.token(grant())
    assert credentials.cached(grant()) is token
    assert await credentials.token(grant()) is token
    (asked,) = service.asked
    assert (asked["Action"], asked["RoleArn"], asked["DurationSeconds"]) == ("AssumeRole", ROLE, "3599")
    assert asked["RoleSessionName"] == asked["SourceIdentity"] == role_session_name(grant().identity)
    assert json.loads(asked["Policy"])["Statement"] == [{"Effect": "Deny", "Action": "*", "Resource": "*"}]
    tags = {asked[f"Tags.member.{number}.Key"]: asked[f"Tags.member.{number}.Value"] for number in (1, 2, 3)}
    assert (tags["owner"], tags["intent"]) == ("web team", "INC-42")
    assert "k8s-aws-v1" not in repr(token) + repr(credentials._minted)


async def test_the_token_is_signed_for_this_cluster_by_the_role_session(credentials: Credentials) -> None:
    token = (await credentials.token(grant())).token.reveal()
    encoded = token.removeprefix("k8s-aws-v1.")
    assert encoded != token and "=" not in encoded
    url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    assert (url.scheme, url.netloc, url.path) == ("https", f"sts.{REGION}.amazonaws.com", "/")
    assert "X-Amz-Expires=60" in url.query and "host%3Bx-k8s-aws-id" in url.query
    role = credentials._minted["grant-1"].held
    assert isinstance(role, Role)
    keys = role.keys
    issued = {keys.access_key: Issued(
        access_key_id=keys.access_key, secret_access_key=keys.secret_key, session_token=keys.token or "",
        expires_at=role.expires_at,
    )}  # fmt: skip
    headers = {"host": url.netloc, "x-k8s-aws-id": "prod-1"}
    assert check_presigned(url.query, headers, issued, time.time()) == issued[keys.access_key]
    with pytest.raises(ValueError, match="SignatureDoesNotMatch"):
        check_presigned(url.query, {**headers, "x-k8s-aws-id": "prod-2"}, issued, time.time())


async def test_renewal_is_ahead_of_time_and_nobody_waits(service: Sts, credentials: Credentials, clock: Clock) -> None:
    first = await credentials.token(grant())
    clock.ahead = RENEW_TOKEN_AFTER
    assert credentials.cached(grant()) is first, "still good, and the renewal is under way"
    assert credentials.cached(grant()) is first
    await landed(credentials)
    assert credentials.cached(grant()) is not first
    assert len(service.asked) == 1, "the role session itself is good for longer"
    clock.ahead = 3600 - 299
    assert credentials.cached(grant()) is None, "beyond its 14 minutes"
    await credentials.token(grant())
    assert len(service.asked) == 2, "less than five minutes were left of the role session"


async def test_a_token_is_not_used_for_longer_than_verifiers_take_it(credentials: Credentials, clock: Clock) -> None:
    await credentials.token(grant())
    clock.ahead = TOKEN_SECONDS
    assert credentials.cached(grant()) is None


async def test_a_crowd_makes_one_call(service: Sts, credentials: Credentials) -> None:
    service.delay = 0.1
    waiting = [asyncio.ensure_future(credentials.token(grant())) for _ in range(50)]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    tokens = await asyncio.gather(*waiting[1:])
    assert len(set(map(id, tokens))) == 1 and len(service.asked) == 1


@pytest.mark.alone
async def test_the_event_loop_goes_on_while_sts_is_slow(service: Sts, credentials: Credentials) -> None:
    await credentials.token(grant(2))  # the first client takes long to make
    service.delay = 0.3
    waiting = asyncio.ensure_future(credentials.token(grant()))
    longest = 0.0
    while not waiting.done():
        started = time.monotonic()
        await asyncio.sleep(0.005)
        longest = max(longest, time.monotonic() - started)
    await waiting
    assert longest < 0.2


@pytest.mark.parametrize(
    ("failure", "code", "may_pass", "calls"),
    [
        pytest.param((403, "AccessDenied"), "AccessDenied", False, 1, id="not allowed to assume the role"),
        pytest.param((400, "Throttling"), "Throttling", True, 3, id="throttled: tried again"),
        pytest.param((503, "ServiceUnavailable"), "ServiceUnavailable", True, 3, id="down: tried again"),
        pytest.param((0, "drop"), "ConnectionClosedError", True, 3, id="no answer: tried again"),
    ],
)
async def test_failures_carry_the_code_and_nothing_of_aws_text(
    service: Sts,
    credentials: Credentials,
    clock: Clock,
    failure: tuple[int, str],
    code: str,
    may_pass: bool,
    calls: int,
) -> None:
    service.failure = failure
    with pytest.raises(CredentialUnavailable) as caught:
        await credentials.token(grant())
    assert (caught.value.code, caught.value.may_pass) == (code, may_pass)
    assert str(caught.value) == f"no credential for prod: {code}"
    assert len(service.asked) == calls
    with pytest.raises(CredentialUnavailable):
        await credentials.token(grant())
    assert len(service.asked) == calls, "a crowd of requests is no crowd of calls"
    service.failure = None
    clock.ahead = 3
    assert await credentials.token(grant())


async def test_a_good_token_outlives_an_outage(service: Sts, credentials: Credentials, clock: Clock) -> None:
    first = await credentials.token(grant(ends_in=900))
    service.failure = (403, "AccessDenied")
    clock.ahead = RENEW_TOKEN_AFTER
    for _ in range(3):
        assert credentials.cached(grant()) is first
        await landed(credentials)
    assert len(service.asked) == 2, "one more try, then a pause"


async def test_what_the_cluster_did_not_accept_is_forgotten_unless_it_is_new(
    credentials: Credentials, clock: Clock
) -> None:
    token = await credentials.token(grant())
    credentials.drop(grant(), token)
    assert credentials.cached(grant()) is token
    clock.ahead = 11
    credentials.drop(grant(2), token)
    assert credentials.cached(grant()) is token
    credentials.drop(grant(), token)
    assert credentials.cached(grant()) is None


async def test_grants_do_not_share_credentials_and_the_cache_is_bounded(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addons.edge.credentials._MOST", 2)
    tokens = [await credentials.token(grant(number)) for number in (1, 2, 3)]
    assert len({token.token.reveal() for token in tokens}) == 3
    assert [credentials.cached(grant(number)) is not None for number in (1, 2, 3)] == [False, True, True]


async def test_the_number_of_calls_under_way_is_bounded(
    service: Sts, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addons.edge.credentials._MOST_IN_FLIGHT", 1)
    service.delay = 0.1
    first = asyncio.ensure_future(credentials.token(grant(1)))
    await asyncio.sleep(0.01)
    with pytest.raises(CredentialUnavailable, match="TooManyInFlight"):
        await credentials.token(grant(2))
    assert await first


async def test_a_service_that_hangs_is_given_up(
    service: Sts, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addons.edge.credentials._DEADLINE", 0.05)
    service.delay = 0.3
    with pytest.raises(CredentialUnavailable, match="Timeout"):
        await credentials.token(grant())
    await landed(credentials)
    assert credentials.cached(grant()) is not None, "the call went on and was not in vain"


async def test_without_credentials_of_its_own_the_gateway_says_so(
    service: Sts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    credentials = Credentials({"prod": connection(service.url)}, {"eks": EksTokens().mint}, clock)
    with pytest.raises(CredentialUnavailable, match="NoCredentialsError"):
        await credentials.token(grant())
    credentials.close()


def test_a_client_reads_nothing_that_was_read_at_the_start(service: Sts, monkeypatch: pytest.MonkeyPatch) -> None:
    read_models("sts")

    def load(_: object, path: str) -> None:
        raise AssertionError(f"{path} is read")

    monkeypatch.setattr(JSONFileLoader, "_load_file", load)
    assert _StsClients()._client(connection(service.url)).meta.service_model.service_name == "sts"


def test_settings_that_cannot_be_read_are_no_mistake_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text("[profile")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    read_models("sts")


@pytest.mark.parametrize(
    ("env", "region", "url"),
    [
        pytest.param({}, "eu-central-1", "https://sts.eu-central-1.amazonaws.com/", id="the region's own"),
        pytest.param({}, "us-east-1", "https://sts.us-east-1.amazonaws.com/", id="not the global one"),
        pytest.param({}, "cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn/", id="of another partition"),
        pytest.param(
            {"AWS_STS_REGIONAL_ENDPOINTS": "legacy", "AWS_ENDPOINT_URL_STS": "https://x.example"}, "us-east-1",
            "https://sts.us-east-1.amazonaws.com/", id="whatever others want",
        ),
        pytest.param(
            {"AWS_USE_FIPS_ENDPOINT": "true"}, "us-east-1", "https://sts-fips.us-east-1.amazonaws.com/", id="FIPS"
        ),
        pytest.param(
            {"AWS_USE_FIPS_ENDPOINT": "true"}, "us-gov-west-1", "https://sts.us-gov-west-1.amazonaws.com/",
            id="FIPS, where all are",
        ),
        pytest.param(
            {"AWS_USE_FIPS_ENDPOINT": "true", "own": "https://vpce.example"}, "us-east-1", "https://vpce.example/",
            id="the connection's own",
        ),
    ],
)  # fmt: skip
def test_where_roles_are_asked_for(env: dict[str, str], region: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**AWS_ENV, **env}.items():
        monkeypatch.setenv(name, value)
    client = _StsClients()._client(replace(connection(env.get("own", "")), region=region))
    asked: list[str] = []

    def ask(request: Any, **_: Any) -> None:
        asked.append(request.url)
        raise KeyboardInterrupt

    client.meta.events.register("before-send.sts.AssumeRole", ask)
    with pytest.raises(KeyboardInterrupt):
        client.assume_role(RoleArn=ROLE, RoleSessionName="agent")
    assert asked == [url]
