"""RFC 5424 messages, read back by a reader that was written from its grammar, and their framing."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.audit import Stage
from addons.core.pipelines.syslog import framed, message, severity, shortened, structured
from tests.core.pipelines.events import WARNED, alert_of, call, denied, facts, made

# RFC 5424, section 6: HEADER SP STRUCTURED-DATA SP MSG
NAME = r"[!-<>-\\^-~]{1,32}"
ELEMENT = re.compile(rf'\[({NAME})((?: {NAME}="(?:[^"\\\]]|\\["\\\]])*")*)\]')
HEADER = re.compile(
    rb"<(0|[1-9][0-9]{0,2})>1 "
    rb"(-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) "
    rb"([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) "
    rb"((?:\[[^\]]*\])+) (.*)\Z",
    re.DOTALL,
)
ANY = st.text(alphabet=st.characters(codec=None), max_size=300)


def written(**more: object) -> bytes:
    arguments = {
        "facility": 13, "severity": 5, "at": "2026-01-01T00:00:00.000001Z", "host": "gateway",
        "kind": "ResponseComplete", "sequence": 1, "document": {"a": "b"},
    }  # fmt: skip
    return message(**{**arguments, **more})  # type: ignore[arg-type]


def test_a_message() -> None:
    assert written() == (
        b"<109>1 2026-01-01T00:00:00.000001Z gateway chaperone - ResponseComplete "
        b'[origin software="kube-chaperone" swVersion="0.1.0"][meta sequenceId="1"] {"a":"b"}'
    )


@given(host=ANY, kind=ANY, text=ANY, sequence=st.integers(1, 2**40))
def test_any_text_is_one_message(host: str, kind: str, text: str, sequence: int) -> None:
    found = HEADER.fullmatch(written(host=host, kind=kind, document={"text": text, text: 1}, sequence=sequence))
    assert found is not None
    assert json.loads(found[8]) == {"text": text, text: 1} if text != "text" else True
    assert b"\n" not in found[0]
    assert 1 <= int(re.findall(rb'sequenceId="(\d+)"', found[7])[0]) <= 2_147_483_647


@given(name=ANY, parameters=st.dictionaries(ANY, ANY, max_size=3))
def test_structured_data_can_be_read_back(name: str, parameters: dict[str, str]) -> None:
    found = ELEMENT.fullmatch(structured(name, parameters))
    assert found is not None
    values = re.findall(r'="((?:[^"\\\]]|\\["\\\]])*)"', found[2])
    assert [re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL) for value in values] == [
        value.encode("utf-8", "replace").decode() for value in parameters.values()
    ]


def unframed(data: bytes) -> list[bytes]:
    """As a receiver reads a stream: MSG-LEN SP SYSLOG-MSG."""
    found = []
    while data:
        length, _, rest = data.partition(b" ")
        found.append(rest[: int(length)])
        data = rest[int(length) :]
    return found


@pytest.mark.parametrize(
    ("messages", "stream"),
    [
        ([], b""),
        ([b"<13>1 a"], b"7 <13>1 a"),
        ([b"a\n", b"2 bc", "é".encode()], b"2 a\n4 2 bc2 \xc3\xa9"),
    ],
)
def test_each_message_comes_after_its_length_in_bytes(messages: list[bytes], stream: bytes) -> None:
    assert framed(messages) == stream
    assert unframed(stream) == messages


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5))
def test_what_is_framed_can_be_told_apart(messages: list[bytes]) -> None:
    assert unframed(framed(messages)) == messages


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (made(call()), 6),
        (made(call(decision=WARNED)), 5),
        (denied(), 5),
        (made(call(), Stage.PANIC, 503), 3),
    ],
)
def test_severities_of_events(event: dict[str, object], expected: int) -> None:
    assert severity(facts(event), None) == expected


def test_severity_of_an_alert() -> None:
    assert severity(facts(denied()), alert_of(denied())) == 1


def test_what_is_too_long_for_a_datagram() -> None:
    long = {"a": "x" * 2000, "b": [{"c": "y" * 5000}] * 200, "d": 1, "e": "short"}
    short = shortened(long)
    assert short["a"] == "x" * 1024 + "… 976 more characters"
    assert (len(short["b"]), short["d"], short["e"]) == (100, 1, "short")
