from addons.core.identity import Identity


def test_the_username_is_qualified_by_its_issuer() -> None:
    one, other = (Identity(iss=iss, sub="agent", aud=("c",), exp=1) for iss in ("https://a", "https://b"))
    assert one.username == "https://a#agent"
    assert one.username != other.username
