"""Text in pieces: any chunking gives the same output, secrets never pass, nothing waits without a reason."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from addons.core.masking.detectors import Detectors, UnsupportedPattern, compile_detector
from addons.core.masking.placeholder import NO_FINGERPRINT, PLAIN, Fingerprints
from addons.core.masking.text import MAX_BLOCK, TextMasker, redact
from tests.core.masking.support import AWS, JWT, KEY, PEM, delivered

PRINTS = Fingerprints(KEY)
DETECTORS = delivered().plan.__self__._detectors  # type: ignore[attr-defined]
SECRETS = [
    AWS,
    JWT,
    PEM,
    "ghp_" + "a1B2" * 9,
    "redis://u:hunter2hunter2@h/0",
    "PASSWORD=hunter2hunter2",
    "k8s-aws-v1." + "aHR0" * 8,
]
HIDDEN = [
    "IOSFODNN7EXAMPLE",
    "hbGciOiJSUzI1NiJ9",
    "MIIEowIBAAKCAQEA7",
    "abcdefghijkl",
    "a1B2a1B2",
    "hunter2",
    "aHR0aHR0",
]
PIECES = st.one_of(
    st.sampled_from(SECRETS),
    st.sampled_from(["\n", " ", '"', "://", "eyJ", "AKIA", "token: ", "é", "-----", "\\n", "\x1b[1;31m", "\x1b[", "m"]),
    st.text(max_size=8),
)
TEXTS = st.lists(PIECES, max_size=12).map("".join).map(lambda text: text.encode("utf-8", "replace"))


def whole(text: bytes, max_word: int = 64) -> bytes:
    masker = TextMasker(DETECTORS, PRINTS, max_word=max_word)
    return b"".join([*masker.feed(text), *masker.finish()])


def cut(text: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({at % (len(text) + 1) for at in cuts})
    return [text[a:b] for a, b in zip([0, *edges], [*edges, len(text)], strict=True)]


@settings(max_examples=400)
@given(TEXTS, st.lists(st.integers(0, 10_000), max_size=8), st.sampled_from([64, 16384]))
def test_any_chunking_gives_the_same_output(text: bytes, cuts: list[int], max_word: int) -> None:
    masker = TextMasker(DETECTORS, PRINTS, max_word=max_word)
    pieces = [piece for chunk in cut(text, cuts) for piece in masker.feed(chunk)] + masker.finish()
    assert b"" not in pieces
    assert b"".join(pieces) == whole(text, max_word)


@settings(max_examples=300)
@given(TEXTS)
@example(b"://AKIAIOSFODNN7EXAMPLE@")
@example(b"://AKIAIOSFODNN7EXAMPLE{@")
def test_masked_text_stays_as_it_is(text: bytes) -> None:
    masked = redact(text.decode(), DETECTORS, PRINTS)
    assert redact(masked, DETECTORS, PRINTS) == masked


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(SECRETS), min_size=1, max_size=4).map(" ".join).map(str.encode),
    st.lists(st.integers(0, 10_000), max_size=12),
    st.booleans(),
)
def test_secrets_never_pass(text: bytes, cuts: list[int], eager: bool) -> None:
    masker = TextMasker(DETECTORS, PRINTS, eager)
    out = b"".join([piece for chunk in cut(text, cuts) for piece in masker.feed(chunk)] + masker.finish())
    for hidden in HIDDEN:
        assert hidden.encode() not in out
        assert base64.b64encode(hidden.encode()) not in out


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("colour", ["\x1b[31m", "\x1b[1;38;5;208m", "\x1b[m", "key=\x1b[0m"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_colour_before_a_secret_hides_nothing_from_the_search(secret: str, colour: str, size: int) -> None:
    text = f"{colour}{secret}\x1b[0m after".encode()
    masker = TextMasker(DETECTORS, PRINTS)
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    out = b"".join([*(piece for chunk in chunks for piece in masker.feed(chunk)), *masker.finish()])
    assert not [hidden for hidden in HIDDEN if hidden.encode() in out]
    assert out.endswith(b" after")


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param([b"line one\nline two\n"], [b"line one\nline two\n"], id="lines at once"),
        pytest.param([b"/ # "], [b"/ # "], id="a prompt at once"),
        pytest.param([b"l", b"s"], [b"l", b"s"], id="typing at once"),
        pytest.param([b"AK", b"IA"], [b"AK", b"IA"], id="a start is public"),
        pytest.param(
            [b"id AKIAIOSF", b"ODNN7EXAMPLE", b"\n"], [b"id AKIA", b"", b"*\n"], id="a secret waits for its end"
        ),
        pytest.param([b"http://h:80", b"80/x ok"], [b"http://h:", b"8080/x ok"], id="what turns out harmless"),
        pytest.param(
            [b"-----BEGIN PRIVATE KEY-----\nA", b"B\n-----END PRIVATE", b" KEY-----\nz"],
            [b"-----BEGIN PRIVATE KEY-----0", b"", b"-----END PRIVATE KEY-----\nz"],
            id="a block",
        ),
    ],
)
def test_a_patient_stream_waits_only_for_secrets(chunks: list[bytes], expected: list[bytes]) -> None:
    masker = TextMasker(DETECTORS, PRINTS)
    assert [_short(b"".join(masker.feed(chunk))) for chunk in chunks] == expected


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param([b"$ ", b"cat token\r\n"], [b"$ ", b"cat token\r\n"], id="a prompt and its echo"),
        pytest.param([JWT.encode()], [b"eyJ*"], id="a whole secret without a newline"),
        pytest.param(
            [b"eyJhbGciOi", b"JSUzI1NiJ9.x.y", b" done"], [b"eyJ0", b"", b" done"], id="the rest of a word is dropped"
        ),
        pytest.param(
            [b"http://h:80", b"80 ok"], [b"http://h:0", b" ok"], id="masked, although it would have been harmless"
        ),
        pytest.param([b"http://h:8080/x", b"/y ok"], [b"http://h:8080/x", b"/y ok"], id="known to be harmless"),
        pytest.param([b"token: ", b"abcdefghijklmnopqrstuvwx "], [b"token: ", b"* "], id="the start ends the piece"),
    ],
)
def test_an_eager_stream_never_waits(chunks: list[bytes], expected: list[bytes]) -> None:
    masker = TextMasker(DETECTORS, PRINTS, eager=True)
    assert [_short(b"".join(masker.feed(chunk))) for chunk in chunks] == expected
    assert masker.finish() == []


def _short(text: bytes) -> bytes:
    return PLAIN.sub("*", text.decode().replace(NO_FINGERPRINT, "0")).encode()


def test_long_words_are_judged_by_their_beginning() -> None:
    long = b"ghp_" + b"a" * 100
    assert whole(long + b" x") == b"ghp_" + NO_FINGERPRINT.encode() + b" x"
    harmless = b"ghp_" + b"-" * 100
    assert whole(harmless + b" x") == harmless + b" x"


def test_a_block_without_end_is_dropped_up_to_its_limit() -> None:
    begin = b"-----BEGIN PRIVATE KEY-----"
    masked = whole(begin + b"x" * (MAX_BLOCK + 1000))
    assert masked == begin + NO_FINGERPRINT.encode() + b"x" * 1000
    assert whole(begin + b"x" * 100) == begin + NO_FINGERPRINT.encode()


def test_a_start_right_after_what_was_dropped_counts() -> None:
    detectors = Detectors(
        [
            compile_detector("long", "x=", "[a-z]+"),
            compile_detector("quoted", '"k=', "[0-9]+"),
            compile_detector("b", r"\bkey", "[0-9]+"),
        ]
    )
    for chunks in ([b"x=" + b"a" * 90 + b'"k=123 key7'], [b"x=" + b"a" * 90, b'"k', b"=1", b"23 key7"]):
        masker = TextMasker(detectors, PRINTS.silent(), max_word=64)
        out = b"".join([piece for chunk in chunks for piece in masker.feed(chunk)] + masker.finish())
        assert _short(out) == b'x=0"k=0 key0'


def test_memory_is_bounded() -> None:
    masker = TextMasker(DETECTORS, PRINTS)
    for _ in range(100):
        masker.feed(b"eyJ" + b"a" * 4096)
    assert len(masker._buffer) < 64 * 1024


def test_a_failure_is_said() -> None:
    assert b"the output ends here: why" in TextMasker.failure("why")


def test_no_detectors_change_nothing() -> None:
    masker = TextMasker(Detectors([]), PRINTS)
    assert masker.feed(AWS.encode()) == [AWS.encode()]
    assert redact(AWS, Detectors([]), PRINTS) == AWS


def test_the_first_of_two_overlapping_starts_wins() -> None:
    detectors = Detectors([compile_detector("long", "ab:", "[a-z]+"), compile_detector("short", "a", "b:[a-z]+")])
    assert redact("ab:xyz", detectors, PRINTS.silent()) == f"a{NO_FINGERPRINT}"


@pytest.mark.parametrize(
    ("start", "what"),
    [
        ("^AKIA", "anchors"),
        ("x$", "anchors"),
        (r"\Ax", "anchors"),
        ("a*", "bound every repetition"),
        ("[a-z]+:", "bound every repetition"),
        ("a{2,}", "bound every repetition"),
        ("a{0,300}", "too long"),
        ("(?:ab){0,2}", "do not repeat groups"),
        ("(?<x", "not RE2"),
        ("(?=x)", "not RE2"),
    ],
)
def test_starts_that_could_be_missed_are_refused(start: str, what: str) -> None:
    with pytest.raises(UnsupportedPattern, match=what):
        compile_detector("d", start, "x")


def test_a_start_may_begin_with_any_byte() -> None:
    detectors = Detectors([compile_detector("any", "[^x]:", "[0-9]{4}")])
    assert redact("é:1234", detectors, PRINTS.silent()) == f"é:{NO_FINGERPRINT}"
