"""What AWS says of an EKS cluster, and of who asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

_CONFIG = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 2, "mode": "standard"})


class AwsUnavailable(LookupError):
    """AWS does not answer, or not this."""


def describe_cluster(name: str, region: str, endpoint_url: str = "") -> dict[str, Any]:
    """`cluster` of eks:DescribeCluster. Raises AwsUnavailable."""
    client = boto3.client("eks", region_name=region, endpoint_url=endpoint_url or None, config=_CONFIG)
    found: dict[str, Any] = _asked(lambda: client.describe_cluster(name=name))["cluster"]
    return found


def caller_arn(region: str, endpoint_url: str = "") -> str:
    """The ARN of whoever runs this. Raises AwsUnavailable."""
    client = boto3.client("sts", region_name=region, endpoint_url=endpoint_url or None, config=_CONFIG)
    return str(_asked(client.get_caller_identity)["Arn"])


def _asked(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except ClientError as error:
        details = error.response["Error"]
        raise AwsUnavailable(f"AWS answers {details['Code']}: {details.get('Message', '')}") from None
    except BotoCoreError as error:
        raise AwsUnavailable(f"AWS cannot be asked: {error}") from None
