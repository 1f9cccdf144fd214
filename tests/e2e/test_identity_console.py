"""Session tokens and SAML sign-in: a console process beside a gateway, with a real SAML provider, on a real cluster."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from prometheus_client.parser import text_string_to_metric_families

from addons.core.dpop import token_hash
from addons.core.sign_in import Attempt, Client, authorization_url
from addons.core.token_exchange import DEVICE
from scripts.devenv import forkserver, oidc, plain_http, processes
from scripts.devenv.forkserver import CHAPERONE
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.places import REPOSITORY
from tests.e2e.agent import Transcript, client, eventually
from tests.e2e.consoles import OTHER, Console, code_of, start_console
from tests.e2e.gateways import Gateways
from tests.e2e.people import chaperone
from tests.e2e.raw import Answer, request, tunnel
from tests.e2e.records import ApiServer, gateway_events
from tests.support.proxy import everything

PATH = "/api/v1/namespaces/default/configmaps"
SECONDS = 5.0
CALLBACK = "http://127.0.0.1:9/callback"
ATTEMPT = Attempt(state="state", nonce="nonce", verifier="v" * 43)


@pytest.fixture(scope="module")
def console(gateways: Gateways, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Two people can sign in by SAML, one of whom may do something."""
    (port,) = processes.free_ports(1)
    gateway = gateways.start("console", settings={"console_port": port, "workers": 2}, rules=None)
    started = start_console(gateway, tmp_path_factory.mktemp("console"))
    for name, groups in (("alice", ["admins"]), ("bob", ["interns"])):
        started.idp.add_person(name, groups)
    token = started.token(mint_of(gateways, "first"))
    # One that asked before the console was there asks again after ten seconds; a busy machine prefers the other one.
    both = {"0", "1"}
    eventually("its keys", lambda: all(works(gateway, token) for _ in range(8)) and allowing(gateway) == both, 30)
    yield started
    processes.stop([started.child, started.idp.child])


def mint_of(gateways: Gateways, sub: str, **options: Any) -> str:
    return oidc.mint(gateways.cluster.oidc_issuer, sub, **{"groups": ["agents-view"], **options})


@pytest.fixture
def proof(gateways: Gateways, transcript: Transcript) -> Callable[..., str]:
    """An ID token of the OpenID provider, of somebody who may look."""

    def token(sub: str, **options: Any) -> str:
        minted = mint_of(gateways, sub, **options)
        transcript.tokens.append(minted)
        return minted

    return token


def works(gateway: GatewayEnv, token: str) -> bool:
    with client(gateway, token) as http:
        return http.get(PATH).status_code == 200


def allowing(gateway: GatewayEnv) -> set[str]:
    """The workers that have let something pass."""
    page = plain_http.get(f"{gateway.health_url}/metrics").text
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    allowed = [each.labels for each in samples if each.name == "chaperone_requests_total"]
    return {labels["worker"] for labels in allowed if labels["verdict"] == "allow"}


def refusal(gateway: GatewayEnv, token: str, **headers: str) -> tuple[int, str]:
    with client(gateway, token, headers) as http:
        answer = http.get(PATH)
    return answer.status_code, answer.text


def authorize(console: Console) -> str:
    return authorization_url(
        f"{console.url}/authorize", Client(issuer=console.url, client_id="chaperone"), ATTEMPT, CALLBACK
    )


def signed_in(console: Console, name: str) -> str:
    """The session token of somebody who has signed in by SAML."""
    answer = redeem(console, code_of(console.browse(authorize(console), name)))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id_token"])


def redeem(console: Console, code: str, verifier: str = ATTEMPT.verifier) -> httpx.Response:
    return console.post(
        "/token",
        grant_type="authorization_code",
        code=code,
        redirect_uri=CALLBACK,
        client_id="chaperone",
        code_verifier=verifier,
    )


def test_a_session_token_is_the_caller_with_a_connection_and_an_intent(
    console: Console, proof: Callable[..., str], api_server: ApiServer
) -> None:
    mark = api_server.mark()
    token = console.token(proof("ci-job"), audience="development", intent="INC-7 look around", expires_in="300")
    assert works(console.gateway, token)
    event = [each for each in gateway_events(console.gateway) if each["user"]["username"].endswith("#ci-job")][-1]
    assert event["user"]["username"] == f"{console.gateway.issuer}#ci-job"
    assert event["annotations"]["chaperone.dev/intent"] == "INC-7 look around"
    assert any("ci-job" in each["user"]["username"] for each in api_server.about(mark, "configmaps"))


def test_it_is_good_for_nothing_else(console: Console, proof: Callable[..., str]) -> None:
    elsewhere = console.token(proof("ci-bound"), audience=OTHER)
    assert refusal(console.gateway, elsewhere)[0] == 403
    assert "good for the connection elsewhere only" in refusal(console.gateway, elsewhere)[1]
    bound = console.token(proof("ci-bound"), audience="development", intent="INC-7 look around")
    said = {"Impersonate-User": "agent", "Impersonate-Extra-Reason": "INC-8 something else"}
    status, text = refusal(console.gateway, bound, **said)
    assert (status, "intent-bound" in text) == (403, True)
    for wish in ({"audience": OTHER}, {"intent": "INC-8"}):
        assert console.exchange(bound, **wish).json()["error"] == "invalid_grant"
    assert console.exchange(proof("ci-bound"), audience="nowhere").json()["error"] == "invalid_target"


def test_an_agent_for_a_person(console: Console, proof: Callable[..., str]) -> None:
    tokens = {"actor_token": proof("robot"), "actor_token_type": "urn:ietf:params:oauth:token-type:jwt"}
    token = console.token(proof("carol@example.com"), **tokens)
    assert works(console.gateway, token)
    event = [each for each in gateway_events(console.gateway) if "carol" in each["user"]["username"]][-1]
    assert "robot" in str(event["user"]["extra"]) + str(event["annotations"])
    done = chaperone(console.gateway, "approvals", "approve", "none", token=token)
    assert (done.returncode, "on someone's behalf" in done.stderr or "no approval" in done.stderr) == (1, True)


def test_kubectl_exchanges_by_itself(console: Console, proof: Callable[..., str], tmp_path: Path) -> None:
    gateway = console.gateway
    (tmp_path / "chaperone").write_text(
        f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m addons.cli "$@"\n'
    )
    (tmp_path / "chaperone").chmod(0o755)
    (tmp_path / "token").write_text(proof("plugin-user"))
    options = [f"--gateway={gateway.gateway_url}", f"--token-file={tmp_path}/token", f"--console={console.url}"]
    made = chaperone(gateway, "kubeconfig", "development", *options, "--intent=INC-9 plugin", "--namespace=default")
    assert made.returncode == 0, made.stderr
    (tmp_path / "kubeconfig").write_text(made.stdout)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "kubeconfig")}
    command = [gateway.kubectl_path, "get", "configmaps"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "kube-root-ca.crt" in done.stdout) == (0, True), done.stderr
    event = [each for each in gateway_events(gateway) if each["user"]["username"].endswith("#plugin-user")][-1]
    assert event["annotations"]["chaperone.dev/intent"] == "INC-9 plugin"


def test_somebody_signs_in_by_saml(console: Console) -> None:
    token = signed_in(console, "alice")
    assert works(console.gateway, token)
    event = [each for each in gateway_events(console.gateway) if "alice" in each["user"]["username"]][-1]
    assert event["user"]["username"] == f"{console.idp.entity_id}#alice@example.com"
    assert event["user"]["groups"] == ["admins"]
    assert refusal(console.gateway, signed_in(console, "bob"))[0] == 403


def test_the_command_signs_in_by_saml_and_out_again(console: Console, tmp_path: Path) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    named = ["--issuer", console.url, "--client-id", "chaperone"]

    running = subprocess.Popen(
        [*CHAPERONE, "login", "--no-browser", *named], stdout=-1, stderr=-1, text=True, env=env, cwd=REPOSITORY
    )
    assert running.stderr is not None
    url = running.stderr.readline().rpartition(" ")[2].strip()
    back = console.browse(url, "alice")
    assert plain_http.get(back.headers["location"]).status_code == 200
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out.startswith("signed in until")) == (0, True), err

    def run(*words: str) -> str:
        done = forkserver.run([*CHAPERONE, *words, *named], env=env, cwd=REPOSITORY, timeout=60)
        done.check_returncode()
        return done.stdout

    (token,) = re.findall(r'"token": "([^"]+)"', run("token"))
    assert works(console.gateway, token)
    assert run("logout") == "signed out\n"
    eventually("the end of its session", lambda: refusal(console.gateway, token)[0] == 403, SECONDS)


def test_a_device_signs_in_by_saml(console: Console) -> None:
    begun = console.post("/device_authorization", client_id="chaperone").json()
    poll = {"grant_type": DEVICE, "device_code": begun["device_code"], "client_id": "chaperone"}
    assert console.post("/token", **poll).json()["error"] == "authorization_pending"
    assert console.post("/token", **poll).json()["error"] == "slow_down"
    assert begun["user_code"] in plain_http.get(begun["verification_uri_complete"]).text
    asked = {"user_code": begun["user_code"].lower()}
    assert console.post("/device", **asked).status_code == 403
    assert console.post("/device", {"Origin": "https://evil.example"}, **asked).status_code == 403
    sent = console.post("/device", {"Origin": console.url}, **asked)
    target, form = console.idp.answer(sent.headers["location"], "alice")
    assert "You are signed in" in console.browser.post(target, data=form).text
    time.sleep(5)
    assert works(console.gateway, console.post("/token", **poll).json()["access_token"])
    assert console.post("/token", **poll).json()["error"] == "expired_token"


def test_what_a_provider_says_counts_once_and_for_its_own_request(console: Console) -> None:
    target, form = console.response(authorize(console), "alice")
    _, other = console.response(authorize(console), "bob")
    assert console.browser.post(target, data=form).status_code == 303
    again = console.browser.post(target, data=form)
    assert (again.status_code, "no sign-in is under way" in again.text) == (400, True)
    swapped = console.browser.post(target, data={**form, "RelayState": other["RelayState"]})
    assert (swapped.status_code, "answers another sign-in" in swapped.text) == (400, True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"bob@example.com</saml:NameID>", b"alice@example.com</saml:NameID>", id="another name"),
        pytest.param(b">bob@", b">alice@example.com<!--x-->bob@", id="a comment in the name"),
        pytest.param(b"interns", b"admins", id="another group"),
        pytest.param(b"<samlp:Response", b"<!DOCTYPE r><samlp:Response", id="a document type"),
        pytest.param(b"ds:Signature", b"ds:Unsigned", id="no signature"),
    ],
)
def test_what_somebody_made_of_it_does_not_count(console: Console, old: bytes, new: bytes) -> None:
    target, form = console.response(authorize(console), "bob")
    text = base64.b64decode(form["SAMLResponse"])
    assert old in text
    forged = {**form, "SAMLResponse": base64.b64encode(text.replace(old, new)).decode()}
    answer = console.browser.post(target, data=forged)
    assert (answer.status_code, "is refused" in answer.text) == (400, True)


def test_a_sign_in_that_somebody_else_began_signs_nobody_in(console: Console) -> None:
    target, form = console.response(authorize(console), "alice")
    elsewhere = plain_http.post(target, data=form)
    assert (elsewhere.status_code, "no sign-in is under way in this browser" in elsewhere.text) == (400, True)


def test_a_code_is_for_who_asked_for_it_and_once(console: Console) -> None:
    code = code_of(console.browse(authorize(console), "alice"))
    assert redeem(console, code, "w" * 43).json()["error"] == "invalid_grant"
    assert redeem(console, code).json()["error"] == "invalid_grant"


def test_revocation_ends_what_runs(console: Console, proof: Callable[..., str]) -> None:
    first = console.token(proof("short-lived"))
    narrowed = console.token(first, audience="development")
    with tunnel(console.gateway) as tls:
        lines = ("Connection: keep-alive",)
        tls.sendall(request(console.gateway, f"{PATH}?watch=true&timeoutSeconds=600", *lines, token=narrowed))
        assert Answer(tls.recv(65536)).status == 200
        assert console.post("/revoke", token=first).status_code == 200
        began = time.monotonic()
        everything(tls, 20)
        assert time.monotonic() - began < SECONDS
    eventually("the end of both", lambda: not works(console.gateway, first) and not works(console.gateway, narrowed))


def test_a_token_that_is_bound_to_a_key(console: Console, proof: Callable[..., str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    count = iter(range(100))

    def possession(method: str, url: str, **claims: str) -> str:
        said = {"htm": method, "htu": url, "iat": int(time.time()), "jti": f"jti-{next(count)}", **claims}
        return jwt.encode(said, key, "ES256", headers={"typ": "dpop+jwt", "jwk": jwk})

    answer = console.exchange(proof("holder"), possession("POST", f"{console.url}/token"), audience="development")
    assert answer.json()["token_type"] == "DPoP"
    token = answer.json()["access_token"]
    assert refusal(console.gateway, token)[0] == 401
    url = f"{console.gateway.api_url}{PATH}"
    good = possession("GET", url, ath=token_hash(token))
    workers = [refusal(console.gateway, token, DPoP=good)[0] for _ in range(3)]
    assert workers[0] == 200 and workers.count(401) >= 1
    for bad in (possession("GET", url), possession("PUT", url, ath=token_hash(token)), good + "x"):
        assert refusal(console.gateway, token, DPoP=bad)[0] == 401
    assert console.exchange(token, audience="development").json()["error"] == "invalid_dpop_proof"


def test_no_token_is_in_what_the_console_says(console: Console, proof: Callable[..., str]) -> None:
    tokens = [proof("leaky"), console.token(proof("leaky")), signed_in(console, "alice")]
    said = console.log()
    assert '"session token issued"' in said and '"signed in"' in said
    assert [token for token in tokens if token.split(".")[1] in said or token.split(".")[2] in said] == []


def test_without_the_console_what_it_issued_stays_good(console: Console, proof: Callable[..., str]) -> None:
    """Last: it ends the console."""
    token = console.token(proof("patient"), audience="development")
    processes.stop([console.child])
    assert works(console.gateway, token)
