"""`chaperone mask`: what an agent would see of a reply, exactly as the gateway would send it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from addons.core.masking import mask_reply
from addons.core.reading import read_request
from addons.policy import load_judgement

_CHUNK = 65536


def mask(*, request: str, content_type: str, rules: list[Path] | None = None) -> int:
    """Mask a reply read from standard input.

    Parameters
    ----------
    request
        The request it answers: "METHOD TARGET", as in `--request "GET /api/v1/namespaces/a/secrets"`.
    content_type
        Content type of the reply, as the API server sent it.
    rules
        Folders of rule files, instead of the ones this command was shipped with.
    """
    method, _, target = request.partition(" ")
    _, masker = load_judgement([str(folder) for folder in rules or [default_rules()]], _KEY)
    for chunk in mask_reply(masker, read_request(method, target, ()), content_type, _chunks()):
        sys.stdout.buffer.write(chunk)
    return 0


def default_rules() -> Path:
    """The rules folder beside the package."""
    return Path(__file__).parents[2] / "rules"


_KEY = b"chaperone mask: fingerprints of this command are comparable with each other and with nothing else"


def _chunks() -> Iterator[bytes]:
    while chunk := sys.stdin.buffer.read1(_CHUNK):
        yield chunk
