"""`chaperone mask`: what an agent would see of a reply, exactly as the gateway would send it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from addons.cli.ruleset import NO_SECRET_KEY, folders
from addons.core.masking import mask_reply
from addons.core.reading import read_request
from addons.policy import load_judgement

_CHUNK = 65536


def mask(*, request: str, content_type: str, rules: list[Path] | None = None, unmask: list[str] | None = None) -> int:
    """Mask a reply read from standard input.

    Parameters
    ----------
    request
        The request it answers: "METHOD TARGET", as in `--request "GET /api/v1/namespaces/a/secrets"`.
    content_type
        Content type of the reply, as the API server sent it.
    rules
        Folders of rule files, instead of the ones this command was shipped with.
    unmask
        Names of masking rules that do not hold, as with `unmask` in an access rule.
    """
    method, _, target = request.partition(" ")
    _, masker = load_judgement(folders(rules), NO_SECRET_KEY)
    if unknown := set(unmask or ()) - masker.names:
        raise LookupError(f"there is no masking rule {min(unknown)}; known: {', '.join(sorted(masker.names))}")
    masker = masker.without(tuple(unmask or ()))
    for chunk in mask_reply(masker, read_request(method, target, ()), content_type, _chunks()):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
    return 0


def _chunks() -> Iterator[bytes]:
    while chunk := os.read(sys.stdin.fileno(), _CHUNK):  # what is there now: a stream is masked as it comes
        yield chunk
