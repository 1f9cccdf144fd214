"""What botocore knows of AWS and its services: tens of milliseconds of JSON, read once for all clients."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import boto3
import botocore.session
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader, create_loader


def read_models(*services: str) -> None:
    """Reads what botocore knows of AWS and of these services beforehand, as it takes longer than most requests.

    Settings of AWS that cannot be read are told to whoever needs a credential.
    """
    with suppress(BotoCoreError):
        models = _models(botocore.session.Session().get_config_variable("data_path"))
        for name in ("endpoints", "partitions", "sdk-default-configuration"):
            models.load_data(name)
        for service in services:
            for kind in ("service-2", "endpoint-rule-set-1"):
                models.load_service_model(service, kind)


def aws_session(**variables: str) -> boto3.Session:
    """A session that has read them, if any has, with these variables of its configuration."""
    session = botocore.session.Session()
    models = _models(session.get_config_variable("data_path"))
    session.register_component("data_loader", models)
    for name, value in variables.items():
        session.set_config_variable(name, value)
    made = boto3.Session(botocore_session=session)
    models.search_paths[:] = dict.fromkeys(models.search_paths)  # each adds the folder of boto3 once more
    return made


@cache
def _models(data_path: str | None) -> Loader:
    return create_loader(data_path)
