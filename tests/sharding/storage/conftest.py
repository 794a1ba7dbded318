"""The S3 server of the run, as the storage tests use it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sharding.storage import objects


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries that are over soon."""
    monkeypatch.setattr(objects, "RETRY_SECONDS", 0.4)
    monkeypatch.setattr(objects, "FIRST_SECONDS", 0.4)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Points the environment at a server; gives the URL of a bucket there."""

    def point(address: str) -> str:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        return "s3://bucket/music"

    return point
