"""The STS front's signature check agrees with botocore's signing, and refuses what STS refuses."""

import base64
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from scripts.devenv import eks
from scripts.devenv.sigv4 import Credentials, SignatureRefused, check_presigned

REGION = "us-east-1"
ISSUED = Credentials(
    access_key_id="ASIAEXAMPLE", secret_access_key="secret", session_token="a+b/c==", expires_at=time.time() + 3600
)
HEADERS = {"host": f"sts.{REGION}.amazonaws.com", "x-k8s-aws-id": "development"}


def query() -> str:
    """The query of the URL inside a fresh EKS token."""
    names = {"AccessKeyId": ISSUED.access_key_id, "SecretAccessKey": ISSUED.secret_access_key}
    token = eks.token({**names, "SessionToken": ISSUED.session_token}, REGION, HEADERS["x-k8s-aws-id"])
    encoded = token.removeprefix("k8s-aws-v1.")
    return urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()).query


def check(query: str, headers: dict[str, str] = HEADERS, now: float | None = None) -> Credentials:
    return check_presigned(query, headers, {ISSUED.access_key_id: ISSUED}, now or time.time())


def test_what_botocore_signs_is_accepted() -> None:
    assert check(query()) == ISSUED


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text.replace("Version=2011-06-15", "Version=2011-06-16"), "SignatureDoesNotMatch"),
        (lambda text: text[:-4] + "0000", "SignatureDoesNotMatch"),
        (lambda text: text.replace("ASIAEXAMPLE", "ASIAOTHER"), "InvalidClientTokenId"),
        (lambda text: text.replace("X-Amz-Security-Token=a", "X-Amz-Security-Token=b"), "InvalidClientTokenId"),
        (lambda text: "", "InvalidClientTokenId"),
    ],
)
def test_what_was_altered_is_refused(change: Callable[[str], str], code: str) -> None:
    with pytest.raises(SignatureRefused, match=code):
        check(change(query()))


def test_a_token_for_another_cluster_is_refused() -> None:
    with pytest.raises(SignatureRefused, match="SignatureDoesNotMatch"):
        check(query(), {**HEADERS, "x-k8s-aws-id": "production"})


def test_a_token_ends_after_fifteen_minutes_whatever_it_says() -> None:
    assert check(query(), now=time.time() + 890)
    with pytest.raises(SignatureRefused, match="ExpiredToken"):
        check(query(), now=time.time() + 910)
