"""What is fetched from the npm registry is what is pinned, or nothing is kept of it."""

import base64
import hashlib
import io
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.devenv import npm
from scripts.devenv.npm import Pinned
from scripts.devenv.places import DevelopmentProblem, move_in


def archive(folder: Path, name: str = "package/index.js") -> tuple[Path, Pinned]:
    """A package, and how it would be pinned."""
    path = folder / "some-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as files:
        about = tarfile.TarInfo(name)
        about.size = 2
        files.addfile(about, io.BytesIO(b"ok"))
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    return path, Pinned(name="some", version="1.0.0", integrity=f"sha512-{digest}")


def test_every_package_is_pinned_by_a_digest() -> None:
    for each in npm.pinned().values():
        kind, _, digest = each.integrity.partition("-")
        assert (kind, len(base64.b64decode(digest, validate=True))) == ("sha512", 64), each.name


def test_what_is_pinned_is_unpacked(tmp_path: Path) -> None:
    path, wanted = archive(tmp_path)
    npm.unpack(wanted, path, tmp_path / "home")
    assert (tmp_path / "home" / "index.js").read_text() == "ok"


def test_what_somebody_else_has_unpacked_meanwhile_stays(tmp_path: Path) -> None:
    for text in ("first", "second"):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "index.js").write_text(text)
        move_in(tmp_path / "made", tmp_path / "home")
        shutil.rmtree(tmp_path / "made", ignore_errors=True)
    assert (tmp_path / "home" / "index.js").read_text() == "first"
    with pytest.raises(OSError):
        move_in(tmp_path / "nothing", tmp_path / "elsewhere")


@pytest.mark.parametrize("integrity", ["sha512-AAAA", "sha1-AAAA", "", "sha512-"])
def test_anything_else_is_refused(tmp_path: Path, integrity: str) -> None:
    path, wanted = archive(tmp_path)
    with pytest.raises(DevelopmentProblem, match=r"not what npm\.lock pins"):
        npm.unpack(replace(wanted, integrity=integrity), path, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_package_cannot_write_elsewhere(tmp_path: Path) -> None:
    path, wanted = archive(tmp_path, "../outside.js")
    with pytest.raises(tarfile.FilterError):
        npm.unpack(wanted, path, tmp_path / "home")
    assert not (tmp_path / "outside.js").exists()


def test_without_npm_the_wheel_with_one_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    installed: list[Path] = []
    monkeypatch.setattr(npm, "_install", installed.append)
    node, client = npm.client()
    (home,) = installed
    assert (Path(node).is_relative_to(home), Path(client).name) == (True, "npm-cli.js")
