"""The request target, one row per fact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.request_line import MAX_PARAMETERS, AmbiguousRequest, canonical_target, parse_target

NS = "/api/v1/namespaces/team-a"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        pytest.param("/", "/", id="root"),
        pytest.param(f"{NS}/pods", f"{NS}/pods", id="plain"),
        pytest.param(f"{NS}/pods/", f"{NS}/pods", id="B-11 a trailing slash changes nothing"),
        pytest.param(f"{NS}/pods?", f"{NS}/pods", id="B-11 an empty query changes nothing"),
        pytest.param(f"{NS}/%73ecrets/s1", f"{NS}/secrets/s1", id="B-10 an encoded letter is that letter"),
        pytest.param(f"{NS}/pods/p1/%65xec", f"{NS}/pods/p1/exec", id="B-10 also in a subresource"),
        pytest.param(f"{NS}/%2573ecrets", f"{NS}/%73ecrets", id="B-10 decoded once, never twice"),
        pytest.param("/a%252fb", "/a%2fb", id="a double-encoded slash stays text"),
        pytest.param("/a+b", "/a+b", id="a plus in a path is a plus"),
        pytest.param("/caf%C3%A9", "/café", id="UTF-8"),
        pytest.param("/a;b=c", "/a;b=c", id="a semicolon is part of the name"),
        pytest.param("/a%3Fb%23c", "/a?b#c", id="encoded ? and # are text"),
        pytest.param("/...", "/...", id="three dots are a name"),
        pytest.param("/.a/b.", "/.a/b.", id="dots in names"),
    ],
)
def test_path(target: str, path: str) -> None:
    assert parse_target(target)[0] == path


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        pytest.param("a=1&b=2", (("a", "1"), ("b", "2")), id="pairs in order"),
        pytest.param("command=ls&command=-l", (("command", "ls"), ("command", "-l")), id="B-15 repetitions are kept"),
        pytest.param("%63ommand=ls", (("command", "ls"),), id="B-15 keys are decoded"),
        pytest.param("Stdin=true", (("Stdin", "true"),), id="B-15 keys keep their case"),
        pytest.param("a=1;b=2&c=3", (("c", "3"),), id="B-15 a pair with a raw semicolon is dropped"),
        pytest.param("a=1%3Bb", (("a", "1;b"),), id="an encoded semicolon is text"),
        pytest.param("watch", (("watch", ""),), id="no equals sign: empty value"),
        pytest.param("&&a=b=c&", (("a", "b=c"),), id="empty pairs are dropped, the first = splits"),
        pytest.param("a=x+y%2Bz", (("a", "x y+z"),), id="plus is a space"),
        pytest.param("command=a%0Ab", (("command", "a\nb"),), id="a script may have lines"),
        pytest.param("a=%252f", (("a", "%2f"),), id="decoded once"),
        pytest.param("a=?", (("a", "?"),), id="a second question mark is text"),
    ],
)
def test_query(query: str, pairs: tuple[tuple[str, str], ...]) -> None:
    assert parse_target(f"/x?{query}") == ("/x", pairs)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        pytest.param("", "begins with /", id="empty"),
        pytest.param("*", "begins with /", id="asterisk form"),
        pytest.param("https://other.example/api", "begins with /", id="B-05 absolute form"),
        pytest.param("api/v1", "begins with /", id="no leading slash"),
        pytest.param(f"{NS}/secrets%2fs1", "encoded slash", id="B-10 encoded slash"),
        pytest.param(f"{NS}/secrets%2Fs1", "encoded slash", id="B-10 in upper case"),
        pytest.param(f"{NS}/secrets%5cs1", "encoded slash", id="B-10 encoded backslash"),
        pytest.param(f"{NS}/s1%00", "encoded slash", id="B-10 NUL"),
        pytest.param(f"{NS}/s1%0a", "control", id="B-10 line feed"),
        pytest.param(f"{NS}/s1%7f", "control", id="delete"),
        pytest.param(f"{NS}/s1%C2%85", "control", id="C1 control"),
        pytest.param("//api/v1", "empty segment", id="B-12 at the start"),
        pytest.param("/api//v1", "empty segment", id="B-12 in the middle"),
        pytest.param(f"{NS}/pods//", "empty segment", id="B-12 at the end"),
        pytest.param("/x/../api/v1/secrets", "segment", id="B-12 parent"),
        pytest.param("/api/./v1", "segment", id="B-12 same"),
        pytest.param("/api/v1/..", "segment", id="B-12 parent at the end"),
        pytest.param("/x/%2e%2e/api", "segment", id="B-12 encoded"),
        pytest.param("/x/.%2e/api", "segment", id="B-12 half encoded"),
        pytest.param("/api%", "hexadecimal", id="bare percent"),
        pytest.param("/api%zz", "hexadecimal", id="bad escape"),
        pytest.param("/api?a=%4", "hexadecimal", id="bad escape in the query"),
        pytest.param("/api/%ff", "UTF-8", id="not UTF-8"),
        pytest.param("/api?a=%ff", "UTF-8", id="not UTF-8 in the query"),
        pytest.param("/api?a=%00", "NUL", id="NUL in the query"),
        pytest.param("/api\\v1", "backslash", id="backslash"),
        pytest.param("/api#x", "fragment", id="fragment"),
        pytest.param("/api v1", "spaces", id="space"),
        pytest.param("/api\t", "spaces", id="tab"),
        pytest.param("/é", "non-ASCII", id="raw non-ASCII"),
        pytest.param("/\udcff", "non-ASCII", id="raw byte that is not UTF-8"),
        pytest.param("/x?" + "&" * MAX_PARAMETERS, "parameters", id="more parameters than Go keeps"),
    ],
)
def test_refused(target: str, reason: str) -> None:
    with pytest.raises(AmbiguousRequest, match=reason) as caught:
        parse_target(target)
    assert caught.value.hint and reason in caught.value.reason


@given(st.text() | st.text(alphabet="/%.25eEfFaz?&=;+#\\\x00é", min_size=1).map(lambda text: "/" + text))
def test_anything_is_read_or_ambiguous(target: str) -> None:
    try:
        path, query = parse_target(target)
    except AmbiguousRequest:
        return
    assert parse_target(canonical_target(path, query)) == (path, query)


SEGMENTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1).filter(
    lambda text: text not in (".", "..")
)
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


@given(st.lists(SEGMENTS), st.lists(st.tuples(WORDS, WORDS)))
def test_the_canonical_spelling_is_read_back(segments: list[str], pairs: list[tuple[str, str]]) -> None:
    path, query = "/" + "/".join(segments), tuple(pairs)
    target = canonical_target(path, query)
    assert parse_target(target) == (path, query)
    assert canonical_target(*parse_target(target)) == target
