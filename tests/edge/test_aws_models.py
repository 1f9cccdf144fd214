"""What botocore knows is read once for all clients."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.loaders import JSONFileLoader

from addons.edge.archive_bucket import aws_client
from addons.edge.aws_models import aws_session, read_models


def test_a_client_of_a_bucket_reads_nothing_that_was_read_before(monkeypatch: pytest.MonkeyPatch) -> None:
    read_models("s3")

    def load(_: object, path: str, *__: object) -> None:
        assert not Path(path).exists(), f"{path} is read"

    monkeypatch.setattr(JSONFileLoader, "_load_file", load)
    assert aws_client("s3", "eu-central-1", "").meta.service_model.service_name == "s3"


def test_no_session_makes_the_next_look_in_more_places() -> None:
    places = [len(aws_session()._loader.search_paths) for _ in range(3)]
    assert places == places[:1] * 3
