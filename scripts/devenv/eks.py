"""Makes EKS tokens with botocore alone: what the gateway's own tokens are compared with.

A token is `k8s-aws-v1.` and the base64url form, without padding, of a presigned GetCallerIdentity URL that signs the
cluster's name in the header `x-k8s-aws-id`.  It is a bearer token.
"""

import base64
from collections.abc import Mapping

import botocore.session
from botocore.signers import RequestSigner


def assume_role(endpoint_url: str, region: str, role_arn: str, session_name: str) -> dict[str, str]:
    """The credentials of STS AssumeRole: AccessKeyId, SecretAccessKey, SessionToken, Expiration."""
    session = botocore.session.Session()
    client = session.create_client(
        "sts",
        region_name=region,
        endpoint_url=endpoint_url,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="development",
    )
    reply = client.assume_role(RoleArn=role_arn, RoleSessionName=session_name)
    return {name: str(value) for name, value in reply["Credentials"].items()}


def token(credentials: Mapping[str, str], region: str, cluster_name: str) -> str:
    """An EKS token for one cluster, good for 15 minutes."""
    session = botocore.session.Session()
    session.set_credentials(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
    service = session.get_service_model("sts").service_id
    emitter = session.get_component("event_emitter")
    signer = RequestSigner(service, region, "sts", "v4", session.get_credentials(), emitter)
    request = {
        "method": "GET",
        "url": f"https://sts.{region}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        "headers": {"x-k8s-aws-id": cluster_name},
        "context": {},
    }
    url = signer.generate_presigned_url(request, region_name=region, expires_in=60, operation_name="")
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
