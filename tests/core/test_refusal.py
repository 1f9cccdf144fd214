"""A refusal is a Status an agent can act on."""

from __future__ import annotations

import json

from addons.core.refusal import Refusal


def test_the_message_says_what_why_and_what_next() -> None:
    refusal = Refusal(code=403, rule="no-x", why="x is forbidden", hint="use y", what="create x")
    assert refusal.message("ref-1").splitlines() == [
        "chaperone refused to create x",
        "  rule: no-x",
        "  why: x is forbidden",
        "  do instead: use y",
        "  retry: no, the answer will be the same",
        "  reference: ref-1",
    ]


def test_a_retry_is_announced_in_words_and_details() -> None:
    body = json.loads(Refusal(code=429, rule="r", why="w", retry_after_seconds=5).status("ref"))
    assert (body["code"], body["reason"], body["details"]["retryAfterSeconds"]) == (429, "TooManyRequests", 5)
    assert "yes, the same request, after 5s" in body["message"]
    assert "do instead" not in body["message"]


def test_text_that_is_no_unicode_is_still_a_status() -> None:
    assert json.loads(Refusal(code=400, rule="r", why="\udcff").status("ref"))["reason"] == "BadRequest"


def test_as_plain_text_it_is_the_message() -> None:
    refusal = Refusal(code=403, rule="r", why="w", retry="yes, once it is mended")
    assert refusal.plain("ref").decode() == refusal.message("ref")
    assert "  retry: yes, once it is mended\n" in refusal.message("ref")
