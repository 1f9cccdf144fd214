from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.authorization import (
    Bearer,
    has_authorization,
    take_authorization,
    take_proofs,
    take_proxy_authorization,
    with_authorization,
    with_bearer,
)
from addons.core.secret import Secret

HOST = (b"Host", b"a")
ONE, TWO = (b"AUTHORIZATION", b"Bearer \xff"), (b"authorization", b"Basic b")

names = st.sampled_from([b"Host", b"authorization", b"Authorization", b"AUTHORIZATION", b"x-authorization"])
fields = st.lists(st.tuples(names, st.binary(max_size=5))).map(tuple)


def test_every_authorization_is_taken_and_the_rest_keeps_its_order() -> None:
    assert take_authorization((ONE, HOST, TWO)) == ((HOST,), ["Bearer \udcff", "Basic b"])
    assert take_authorization((HOST,)) == ((HOST,), [])


def test_proxy_authorization_is_another() -> None:
    proxies = (b"Proxy-AUTHORIZATION", b"Basic eDpi")
    assert take_proxy_authorization((ONE, proxies, HOST)) == ((ONE, HOST), ["Basic eDpi"])
    assert take_authorization((proxies, ONE)) == ((proxies,), ["Bearer \udcff"])


def test_proofs_are_others_again() -> None:
    proof = (b"DPoP", b"eyJ.e30.x")
    assert take_proofs((ONE, proof, HOST)) == ((ONE, HOST), ["eyJ.e30.x"])
    assert take_authorization((proof, ONE)) == ((proof,), ["Bearer \udcff"])


@given(fields)
def test_there_is_exactly_one_afterwards(given_fields: tuple[tuple[bytes, bytes], ...]) -> None:
    replaced = with_authorization(given_fields, "Bearer ours")
    rest, values = take_authorization(replaced)
    assert values == ["Bearer ours"]
    assert rest == take_authorization(given_fields)[0]
    assert not has_authorization(rest) and has_authorization(replaced)


@pytest.mark.parametrize(
    ("values", "any_but_ours"),
    [((), False), ((b"ours",), False), ((b"ours", b"ours"), False), ((b"ours", b"other"), True), ((b"",), True)],
)
def test_any_but_one(values: tuple[bytes, ...], any_but_ours: bool) -> None:
    given_fields = (HOST, *((b"AUTHORIZATION", value) for value in values), (b"authorizatiom", b"x"))
    assert has_authorization(given_fields) is bool(values)
    assert has_authorization(given_fields, but="ours") is any_but_ours


def test_nobody_is_impersonated_but_by_the_credential() -> None:
    ours = ((b"impersonate-user", b"agent"), (b"impersonate-group", b"a"), (b"impersonate-group", b"b"))
    theirs = ((b"Impersonate-User", b"admin"), (b"IMPERSONATE-Extra-x", b"y"), ONE)
    bearer = Bearer(Secret("t"), ours)
    assert with_bearer((*theirs, HOST), bearer) == (HOST, (b"Authorization", b"Bearer t"), *ours)
    assert with_bearer((HOST, *theirs), Bearer(Secret("t"))) == (HOST, (b"Authorization", b"Bearer t"))
