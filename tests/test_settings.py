"""The configuration file: strict, and every mistake at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from addons.core.problem import InvalidConfiguration
from addons.settings import FIXED, Settings, load_settings


def mistakes(folder: Path, text: str) -> list[str]:
    file = folder / "mitm.conf"
    file.write_text(text)
    with pytest.raises(InvalidConfiguration) as caught:
        load_settings(file)
    return [f"{problem.line} {problem.message}" for problem in caught.value.problems]


def test_the_shipped_file_loads_with_absolute_paths() -> None:
    file = Path(__file__).parents[1] / "mitm.conf"
    settings = load_settings(file)
    assert settings.rules == [str(file.parent / "rules")]
    assert settings.mitmproxy_options()["connection_strategy"] == "lazy"
    assert settings.request_bytes == 3 * 1024 * 1024


def test_overrides_win(tmp_path: Path) -> None:
    file = tmp_path / "mitm.conf"
    file.write_text("workers: 2\n")
    assert load_settings(file, {"workers": 3}).workers == 3


def test_all_mistakes_at_once_with_their_lines(tmp_path: Path) -> None:
    text = "listen_prt: 1\nworkers: 0\nignore_hosts: [a]\nlisten_port: '80'\nbody_size_limit: 4x\n"
    assert mistakes(tmp_path, text) == [
        "1 unknown key listen_prt; did you mean listen_port?",
        "2 workers: Input should be greater than or equal to 1",
        "3 ignore_hosts is a mitmproxy option that a gateway does not offer",
        "4 listen_port: Input should be a valid integer",
        "5 body_size_limit: Value error, Invalid size specification.",
    ]


@pytest.mark.parametrize("name", FIXED)
def test_options_that_would_open_the_gateway_are_refused(name: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, f"{name}: 1\n") == [
        f"1 {name} is fixed to {str(FIXED[name]).lower()}: any other value would open a way around the gates"
    ]


@pytest.mark.parametrize("name", ["ignore_hosts", "stream_large_bodies", "modify_body", "map_remote"])
def test_mitmproxy_options_are_not_passed_on(name: str, tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, f"{name}: x\n")
    assert line.startswith("1 ")


def test_the_listener_of_probes_is_one_of_its_own(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "listen_port: 8082\n") == ["1 health_port must be another than listen_port"]
    (tmp_path / "mitm.conf").write_text("listen_port: 0\nhealth_port: 0\n")
    assert load_settings(tmp_path / "mitm.conf").health_port == 0, "two free ones"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("tls_listen_port: 8080\n", ["1 tls_listen_port must be another than listen_port"], id="same port"),
        pytest.param("tls_listen_port: 8082\n", ["1 health_port must be another than tls_listen_port"], id="probes"),
        pytest.param("tls_certificate: a\n", ["1 tls_certificate and tls_key belong together"], id="no key"),
        pytest.param("workers: 1\ntls_key: a\n", ["2 tls_certificate and tls_key belong together"], id="key alone"),
        pytest.param(
            "tls_certificate: a\ntls_key: b\ntls_names: [c]\n",
            ["3 tls_names are for a certificate that the gateway makes; tls_certificate has its own"],
            id="names for nothing",
        ),
        pytest.param(
            "listen_host: 0.0.0.0\ntls_listen_port: 8443\n",
            ["2 tls_names is missing: by which names do agents reach this port?"],
            id="no name",
        ),
        pytest.param("tls_names: ['*']\n", None, id="no name at all"),
        pytest.param("tls_names: [Upper.test]\n", None, id="upper case"),
    ],
)
def test_what_the_tls_listener_needs(text: str, why: list[str] | None, tmp_path: Path) -> None:
    found = mistakes(tmp_path, text)
    assert found == why or (why is None and "String should match pattern" in found[0])


def test_the_tls_listener(tmp_path: Path) -> None:
    file = tmp_path / "mitm.conf"
    file.write_text("listen_port: 0\ntls_listen_port: 0\nhealth_port: 0\ntls_names: [a.test, 10.0.0.1, 'fd00::1']\n")
    assert load_settings(file).own_names == ["a.test", "10.0.0.1", "fd00::1"]
    file.write_text("listen_host: 10.0.0.1\ntls_listen_port: 8443\n")
    assert load_settings(file).own_names == ["10.0.0.1"]
    file.write_text("listen_host: 0.0.0.0\ntls_listen_port: 8443\ntls_certificate: a\ntls_key: /b\n")
    loaded = load_settings(file)
    assert (loaded.tls_certificate, loaded.tls_key) == (str(tmp_path / "a"), "/b")


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="cannot be read"):
        load_settings(tmp_path / "missing.conf")
    assert mistakes(tmp_path, "a: 1\na: 2\n")[0] == "2 duplicate key: a"
    assert mistakes(tmp_path, "body_size_limit: '0'\n")[0].startswith("1 body_size_limit")


def test_every_setting_is_documented() -> None:
    documented = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text()
    assert [name for name in Settings.model_fields if f"`{name}`" not in documented] == []


def test_where_the_store_is(tmp_path: Path) -> None:
    file = tmp_path / "mitm.conf"
    file.write_text("store: postgresql://chaperone@db.example.com/chaperone\nstore_password_file: secrets/store\n")
    assert load_settings(file).store_password_file == str(tmp_path / "secrets" / "store")
    (line,) = mistakes(tmp_path, "workers: 2\nstore: postgresql://a:hunter2@db/b\n")
    assert line.startswith("2 store: Value error, has a password in it") and "hunter2" not in line
    (line,) = mistakes(tmp_path, "store_password_file: x\n")
    assert line == "1 store is missing: whose password is it?"
