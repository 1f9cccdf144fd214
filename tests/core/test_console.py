from __future__ import annotations

import pytest

from addons.core.console import Console, SignInProvider, check_sign_in, compile_console
from addons.core.console_role import Roles
from addons.core.documents import Document, parse_documents
from addons.core.identity_provider import IdentityProvider

HEAD = "apiVersion: chaperone/v1\nkind: Console\nmetadata: {name: %s}\nspec: %s\n"
OTHER = "apiVersion: chaperone/v1\nkind: Access\nmetadata: {name: x}\nspec: {}\n"


def documents(*specs: tuple[str, str]) -> list[Document]:
    found, problems = parse_documents("---\n".join([OTHER, *(HEAD % spec for spec in specs)]), "rules/console.yaml")
    assert not problems
    return found


def test_every_field_and_its_default() -> None:
    assert compile_console(documents()) == (None, [])
    assert compile_console(documents(("a", "{url: 'https://c.example'}"))) == (
        Console(name="a", url="https://c.example", audience="chaperone", longest_seconds=3600),
        [],
    )
    assert compile_console(documents(("b", "{url: 'https://c.example/x', audience: c, longestSeconds: 60}"))) == (
        Console(name="b", url="https://c.example/x", audience="c", longest_seconds=60),
        [],
    )


@pytest.mark.parametrize(
    ("specs", "lines"),
    [
        pytest.param([("a", "{}")], ["url: Field required"], id="no address"),
        pytest.param([("a", "{url: 'http://c.example'}")], ["must be an https:// URL"], id="in clear"),
        pytest.param(
            [("a", "{url: 'https://c', longestSeconds: 59}")], ["greater than or equal to 60"], id="too short"
        ),
        pytest.param([("a", "{url: 'https://c', longestSeconds: 43201}")], ["less than or equal"], id="too long"),
        pytest.param([("a", "{url: 'https://c', audience: ''}")], ["at least 1 char"], id="no audience"),
        pytest.param([("a", "{url: 'https://c', ttl: 1}")], ["Extra inputs"], id="unknown key"),
        pytest.param(
            [("a", "{url: 'https://c'}"), ("b", "{url: 'https://d'}"), ("c", "{url: 'https://e'}")],
            ["a console already: a", "a console already: a"],
            id="three",
        ),
    ],
)
def test_mistakes(specs: list[tuple[str, str]], lines: list[str]) -> None:
    console, problems = compile_console(documents(*specs))
    assert len(problems) == len(lines)
    assert all(line in str(problem) for line, problem in zip(lines, problems, strict=True))
    assert console is None or console.name == "a"


def test_to_the_gateway_it_is_an_issuer() -> None:
    console = Console(name="c", url="https://c.example/", audience="aud", longest_seconds=60)
    assert console.provider == IdentityProvider(
        name="c",
        issuer="https://c.example/",
        audiences=("aud",),
        algorithms=frozenset({"ES256"}),
        jwks_uri="https://c.example/keys",
        owner="owner",
        session_tokens=True,
    )


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        pytest.param("https://C.example", "https://c.example", id="as it is"),
        pytest.param("https://c.example/console/", "https://c.example", id="without its path"),
        pytest.param("https://c.example:443", "https://c.example", id="without the usual port"),
        pytest.param("https://c.example:8443/x", "https://c.example:8443", id="with another port"),
        pytest.param("http://127.0.0.1:80", "http://127.0.0.1", id="plain, without the usual port"),
        pytest.param("http://[::1]:8083", "http://[::1]:8083", id="IPv6"),
    ],
)
def test_origin(url: str, origin: str) -> None:
    assert Console(name="c", url=url, audience="a", longest_seconds=60).origin == origin


FULL = (
    "{url: 'https://c.example/x/', signIn: [{identityProvider: idp, clientId: pages},"
    " {identityProvider: other, clientId: b, scope: openid}], roles: {viewer: [v], admin: [a, b]}}"
)
IDP = IdentityProvider(name="idp", issuer="https://i", audiences=("chaperone", "pages"), algorithms=frozenset())


def test_who_uses_the_pages() -> None:
    console, problems = compile_console(documents(("a", FULL)))
    assert console is not None and not problems
    assert console.sign_in == (
        SignInProvider(identity_provider="idp", client_id="pages", scope="openid profile email"),
        SignInProvider(identity_provider="other", client_id="b", scope="openid"),
    )
    assert console.roles == Roles(viewer=frozenset("v"), admin=frozenset("ab"))
    assert console.base == "/x"


def test_where_people_sign_in_must_be_there() -> None:
    other = IdentityProvider(name="other", issuer="https://o", audiences=("chaperone",), algorithms=frozenset())
    document = documents(("a", FULL))[-1]
    console, _ = compile_console([document])
    assert console is not None
    assert [str(problem).rpartition(": ")[2] for problem in check_sign_in(document, console, [IDP], ["idp"])] == [
        "people sign in at idp already", "there is no IdentityProvider other",
    ]  # fmt: skip
    (problem,) = check_sign_in(document, console, [IDP, other], [])
    assert "b is not one of the audiences of other" in str(problem)
