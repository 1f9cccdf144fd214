"""Selectors, one row per fact of the API server's two parsers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.selectors import InvalidSelector, check_label_selector, is_int64, required_value, selected_fields


@pytest.mark.parametrize(
    ("selector", "name"),
    [
        pytest.param("", None, id="nothing"),
        pytest.param("metadata.name=s1", "s1", id="one term"),
        pytest.param("metadata.name==s1", "s1", id="double equals"),
        pytest.param("metadata.name!=s1", None, id="not equals requires no name"),
        pytest.param("type=Opaque", None, id="another field"),
        pytest.param("metadata.name=s1,type=Opaque", "s1", id="B-14 among others"),
        pytest.param("type=Opaque,metadata.name=s1", "s1", id="B-14 in any order"),
        pytest.param("metadata.name=b,metadata.name=a", "a", id="the first in sorted order"),
        pytest.param("metadata.name=b,metadata.name==c", "c", id="== sorts before letters"),
        pytest.param(",metadata.name=a,,", "a", id="empty terms are ignored"),
        pytest.param("metadata.name=", "", id="an empty value"),
        pytest.param(r"metadata.name=a\,b", "a,b", id="an escaped comma"),
        pytest.param(r"metadata.name=a\\", "a\\", id="an escaped backslash"),
        pytest.param(r"metadata.name=a\=b", "a=b", id="an escaped equals sign"),
        pytest.param("=", None, id="no field at all"),
        pytest.param("metadata.name=a\n", "a\n", id="line feeds are text"),
    ],
)
def test_required_value(selector: str, name: str | None) -> None:
    assert required_value(selector, "metadata.name") == name


@pytest.mark.parametrize(
    "selector",
    ["metadata.name", "metadata.name=s1,foo", "a=b=c", "a=b,c=d=e", "metadata.name=a\\x", "metadata.name=a\\"],
)
def test_invalid_field_selector(selector: str) -> None:
    with pytest.raises(InvalidSelector):
        required_value(selector, "metadata.name")


@pytest.mark.parametrize(
    "selector",
    [
        "",
        "app",
        "!app",
        "app=web",
        "app==web",
        "app!=web",
        "app=",
        "app=,b",
        " app = web , tier",
        "a.b-c/d_e=f",
        "app in (a,b)",
        "app in(a)",
        "app notin (a)",
        "app in ()",
        "app in (,)",
        "app in (,,a)",
        "app in (in, notin)",
        "in",
        "in in (in)",
        "in=notin",
        "x>5",
        "x<5",
        "x>5,y<06",
        "a=" + "b" * 63,
    ],
)
def test_label_selector(selector: str) -> None:
    check_label_selector(selector)


@pytest.mark.parametrize(
    "selector",
    [
        ",",
        "a,",
        ",a",
        "a,,b",
        "=",
        "(",
        "a in",
        "a in (b",
        "a in (b c)",
        "a in (b=c)",
        "a b",
        "a=b c",
        "a=b=c",
        "a=(b)",
        "!a=b",
        "!!a",
        "!",
        "x>",
        "x>y",
        "x>=5",
        "x<-5",
        "x<+5",
        "-a=b",
        "a=-b",
        "A/b",
        "/b",
        "b/",
        "a/b/c",
        "a=b/c",
        "a=é",
        "a" * 64,
        "a=" + "b" * 64,
        "d" * 254 + "/a",
    ],
)
def test_invalid_label_selector(selector: str) -> None:
    with pytest.raises(InvalidSelector):
        check_label_selector(selector)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("0", True),
        ("-1", True),
        ("+1", True),
        ("007", True),
        ("9223372036854775807", True),
        ("9223372036854775808", False),
        ("-9223372036854775808", True),
        ("-9223372036854775809", False),
        ("0" * 50 + "1", True),
        ("", False),
        ("1_0", False),
        ("0x1", False),
        ("1.0", False),
        (" 1", False),
        ("1\n", False),
        ("١", False),
    ],
)
def test_is_int64(text: str, valid: bool) -> None:
    assert is_int64(text) is valid


@given(st.text(alphabet="ab=!,()<> \\/.-") | st.text())
def test_any_text_is_valid_or_invalid(selector: str) -> None:
    for check in (check_label_selector, lambda text: required_value(text, "a")):
        try:
            check(selector)
        except InvalidSelector as error:
            assert str(error)


@pytest.mark.parametrize(
    ("selector", "fields"),
    [("", set()), ("a=b,c.d!=e,f==g", {"a", "c.d", "f"}), ("a=b\\,c=d", {"a"}), ("odd,", {"odd"})],
)
def test_the_fields_that_are_asked_about(selector: str, fields: set[str]) -> None:
    assert selected_fields(selector) == fields
