"""URLs of stores: what is accepted is verified, and nothing else is accepted."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from addons.core.store_url import problems, with_driver

REMOTE = "postgresql://chaperone@db.example.com:5432/chaperone"
NOT_ONE = "must be postgresql://USER@HOST/DATABASE"
UNVERIFIED = "sslmode must be verify-full"


@pytest.mark.parametrize(
    ("url", "opened"),
    [
        (REMOTE, "postgresql+psycopg://chaperone@db.example.com:5432/chaperone?sslmode=verify-full"),
        (f"{REMOTE}?sslmode=verify-full&sslrootcert=/etc/ca.pem", None),
        (f"{REMOTE}?sslrootcert=system", None),
        (f"{REMOTE}?application_name=a%26b", None),
        ("postgres://u@db/chaperone", "postgresql+psycopg://u@db/chaperone?sslmode=verify-full"),
        ("postgresql://127.0.0.1/chaperone", "postgresql+psycopg://127.0.0.1/chaperone"),
        ("postgresql://u@[::1]/chaperone?sslmode=disable", None),
        ("postgresql://u@localhost/chaperone", None),
        ("postgresql:///chaperone", None),
        ("postgresql:///chaperone?host=/run/postgresql", None),
    ],
)
def test_what_is_accepted(url: str, opened: str | None) -> None:
    assert list(problems(url)) == []
    parsed = sa.make_url(with_driver(url))
    assert parsed.drivername == "postgresql+psycopg"
    here = parsed.host in (None, "127.0.0.1", "::1", "localhost")
    assert here or parsed.query["sslmode"] == "verify-full"
    if opened is not None:
        assert with_driver(url) == opened


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", NOT_ONE),
        ("mysql://u@127.0.0.1/db", NOT_ONE),
        ("sqlite:////x/y.sqlite", NOT_ONE),
        ("postgresql://u@127.0.0.1", NOT_ONE),
        ("postgresql://u@127.0.0.1/", NOT_ONE),
        ("postgresql://u@127.0.0.1:99999/db", "cannot be read"),
        ("postgresql://u@[::1/db", "cannot be read"),
        ("postgresql://u:hunter2@127.0.0.1/db", "has a password in it"),
        ("postgresql://u:@127.0.0.1/db", "has a password in it"),
        ("postgresql://127.0.0.1/db?password=hunter2", "password cannot be set here"),
        ("postgresql://127.0.0.1/db?options=-c%20statement_timeout=0", "options cannot be set here"),
        ("postgresql://127.0.0.1/db?hostaddr=10.0.0.1", "hostaddr cannot be set here"),
        ("postgresql://127.0.0.1/db?service=x", "service cannot be set here"),
        ("postgresql://127.0.0.1/db?sslrootcert=ca.pem", "sslrootcert must be an absolute path"),
        ("postgresql://127.0.0.1/db?sslcert=system", "sslcert must be an absolute path"),
        ("postgresql://127.0.0.1/db?sslkey=", "sslkey must be an absolute path"),
        ("postgresql://a,b/db", "several servers"),
        ("postgresql:///db?host=/a&host=db.example.com", "several servers"),
        (f"{REMOTE}?sslmode=require", UNVERIFIED),
        (f"{REMOTE}?sslmode=", UNVERIFIED),
        ("postgresql://127.0.0.1/db?host=db.example.com&sslmode=disable", UNVERIFIED),
        ("postgresql:///db?host=@abstract&sslmode=disable", UNVERIFIED),
    ],
)
def test_what_is_not(url: str, why: str) -> None:
    found = list(problems(url))
    assert [each for each in found if why in each]
    assert "hunter2" not in " ".join(found)


@given(st.text(max_size=40), st.sampled_from(["", "127.0.0.1", "db.example.com", "a,b"]))
def test_whatever_is_written_there(text: str, host: str) -> None:
    url = f"postgresql://{host}/db?sslmode={text}"
    if not list(problems(url)):
        assert host != "db.example.com" or sa.make_url(with_driver(url)).query["sslmode"] == "verify-full"
