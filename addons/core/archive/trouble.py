"""What is wrong with a bucket or a key, by AWS's code or botocore's name of an error: what to do about it, and when."""

from __future__ import annotations

FIRST_SECONDS, MOST_SECONDS = 1.0, 60.0
_CLOCK = "set the clock of this machine: AWS takes no request that is signed more than 15 minutes off"
_CREDENTIALS = "give the archiver AWS credentials: environment, profile, pod identity"
_REACH = "is the endpoint right, and reachable from here? look at DNS, the proxy variables and the VPC endpoint"
_RIGHTS = 'give its role what docs/evidence.md lists under "Storage", on this bucket and on the KMS key'
REMEDIES = {
    "AccessDenied": _RIGHTS,
    "AccessDeniedException": _RIGHTS,
    "AllAccessDisabled": _RIGHTS,
    "Forbidden": _RIGHTS,
    "403": _RIGHTS,
    "NoSuchBucket": "make the bucket, or mend archive_bucket and archive_region",
    "404": "make the bucket, or mend archive_bucket and archive_region",
    "PermanentRedirect": "the bucket is in another region: mend archive_region",
    "AuthorizationHeaderMalformed": "the bucket is in another region: mend archive_region",
    "301": "the bucket is in another region: mend archive_region",
    "InvalidRequest": "does the bucket have Object Lock? turn it on, or say archive_lock: none",
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "ExpiredToken": _CREDENTIALS,
    "ExpiredTokenException": _CREDENTIALS,
    "UnrecognizedClientException": _CREDENTIALS,
    "NoCredentialsError": _CREDENTIALS,
    "PartialCredentialsError": _CREDENTIALS,
    "ProfileNotFound": _CREDENTIALS,
    "NoRegionError": "set archive_region",
    "EndpointConnectionError": _REACH,
    "ConnectTimeoutError": _REACH,
    "ReadTimeoutError": _REACH,
    "ConnectionClosedError": _REACH,
    "ProxyConnectionError": _REACH,
    "SSLError": _REACH,
    "SlowDown": "nothing: it is tried again, more slowly",
    "NotFoundException": "mend the ARN of the KMS key: it is in no account or region that is reached",
    "DisabledException": "enable the KMS key, or put another first in archive_keys",
    "KMSInvalidStateException": "enable the KMS key, or cancel its deletion",
    "IncorrectKeyException": "list the KMS key that these parts were wrapped with in archive_keys, too",
    "InvalidCiphertextException": "the wrapped key was changed, or is of another session: nothing opens it",
}


def remedy(code: str) -> str:
    """What to do about an error."""
    return REMEDIES.get(code, "look the code up in the documentation of S3 or KMS; it is tried again")


def backoff(failures: int, jitter: float) -> float:
    """Seconds to wait after so many failures in a row, doubled each time; `jitter` is from 0 to 1, evenly spread.

    Source: "Exponential Backoff And Jitter" (AWS Architecture Blog), its "equal jitter".
    """
    full = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, 16))
    return full / 2 + full / 2 * jitter
