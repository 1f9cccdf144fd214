"""What the console's process begins with: rules that name it, a key, an address that nobody reads along at."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from addons.console import serve
from addons.console.parts import load, make_parts
from addons.core.problem import InvalidConfiguration
from addons.edge.session_tokens import KEY_FILE
from addons.settings import Settings
from tests.console.conftest import CONSOLE, REPOSITORY, write_rules
from tests.support.saml import OTHER_PAIR, RSA_PAIR, Pair


def settings_of(tmp_path: Path, **changes: object) -> Settings:
    folder = tmp_path / "own"
    folder.mkdir(exist_ok=True)
    write_rules(folder, "https://idp.example", "workforce")
    values = {"rules": [str(folder), str(REPOSITORY / "rules")], "state": str(tmp_path / "state"), **changes}
    return Settings.model_validate(values)


def written(folder: Path, certificate: Pair, key: Pair) -> dict[str, str]:
    """A certificate and a key in files."""
    (folder / "tls.crt").write_text(certificate.certificate)
    (folder / "tls.key").write_bytes(key.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {"console_certificate": str(folder / "tls.crt"), "console_key": str(folder / "tls.key")}


def test_the_rules_must_name_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    policy, _ = serve.prepare(settings)
    assert policy.trust.console is not None and policy.trust.console.url == CONSOLE
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    for name in ("1", "5"):
        (tmp_path / "own" / f"{name}.yaml").unlink()
    with pytest.raises(InvalidConfiguration, match="no Console document"):
        load(settings)


async def test_everything_is_opened_and_closed(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    parts = make_parts(settings, load(settings))
    assert parts.url("/token") == f"{CONSOLE}/token"
    user_codes = {parts.user_codes.add("device") for _ in range(20)}
    assert len(user_codes) == 20
    assert all(len(code) == 9 and code[4] == "-" and not set(code) & set("AEIOUY") for code in user_codes)
    await parts.close()


def test_a_key_that_is_no_good(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    policy = load(settings)
    (tmp_path / "state" / KEY_FILE).write_text("garbage")
    with pytest.raises(InvalidConfiguration, match="cannot be used"):
        make_parts(settings, policy)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_in_clear_on_this_machine_alone(tmp_path: Path, host: str) -> None:
    serve.check_transport(settings_of(tmp_path, console_host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "console.example"])
def test_whom_others_reach_needs_a_certificate(tmp_path: Path, host: str) -> None:
    with pytest.raises(InvalidConfiguration, match="needs console_certificate"):
        serve.check_transport(settings_of(tmp_path, console_host=host))
    serve.check_transport(settings_of(tmp_path, console_host=host, **written(tmp_path, RSA_PAIR, RSA_PAIR)))


def test_certificates_that_are_no_good(tmp_path: Path) -> None:
    good = written(tmp_path, RSA_PAIR, OTHER_PAIR)
    for changes in (
        good,  # of another key
        {**good, "console_key": ""},
        {**good, "console_certificate": ""},
        {**good, "console_certificate": str(tmp_path / "missing")},
    ):
        with pytest.raises(InvalidConfiguration, match="cannot be used"):
            serve.check_transport(settings_of(tmp_path, **changes))
