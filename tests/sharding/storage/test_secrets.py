"""No secret of the environment, of a profile or of a URL shows anywhere: the environment is full of marked ones."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from clmr.errors import ClmrError
from sharding.storage import place_at
from sharding.storage.bucket import ObjectPlace
from sharding.storage.refusals import refusal
from sharding.storage.urls import parse
from tests.servers.s3 import Server, free_ports

MARK = "hunter2"
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY")


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, f"{MARK}-{name}")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", f'{{"private_key": "{MARK}"}}')


@pytest.fixture
def shown(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What anyone could see; none of it may hold the mark."""
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    yield seen
    seen += [*capfd.readouterr(), caplog.text]
    assert len(seen) > 3
    assert not [text for text in seen if MARK in text]


def listing_of(url: str) -> object:
    return place_at(url).walk()


def look(use: Callable[[], object]) -> list[str]:
    """Everything that an error shows."""
    try:
        use()
    except (ClmrError, OSError) as error:
        trace = traceback.format_exception(error)
        return [str(error), repr(error), repr(error.args), "".join(trace), repr(pickle.dumps(error))]
    raise AssertionError("nothing was refused")


@pytest.mark.needs("radosgw")
@pytest.mark.usefixtures("marked", "impatient")
def test_errors_of_a_server(bucket: str, s3_server: Server, monkeypatch: pytest.MonkeyPatch, shown: list[str]) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    for secret in SECRETS[:3]:
        monkeypatch.setenv(secret, f"{MARK}-{secret}")
    refused = f"http://127.0.0.1:{free_ports(1)[0]}"
    for endpoint in (s3_server.endpoint, refused, refused.replace("://", f"://user:{MARK}@"), "http://no.host.invalid"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        place = place_at(bucket)
        assert isinstance(place, ObjectPlace)
        for use in (
            partial(place.read, "no"),
            place.walk,
            partial(place.write, "x", b"1"),
            partial(place.write, "x", bytes(9 << 20)),
            partial(place.remove, "x"),
        )[: None if endpoint == s3_server.endpoint else 1]:
            shown += look(use)
        shown += [repr(place), repr(pickle.dumps(place)), repr(vars(place))]


@pytest.mark.usefixtures("marked", "impatient")
def test_settings_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shown: list[str]) -> None:
    for url in ("az://container/x", "gs://bucket/x"):
        shown += look(partial(listing_of, url))
    for url in (f"s3://user:{MARK}@bucket", f"https://{MARK}@host/", f"az://c/?sig={MARK}", f"ftp://user:{MARK}@host/"):
        shown += look(partial(listing_of, url))
    (tmp_path / "keys").write_text(f"[default]\naws_secret_access_key = {MARK}\n{MARK}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/keys")
    shown += look(lambda: place_at("s3://bucket").walk())


@pytest.mark.usefixtures("marked")
def test_a_message_that_quotes_a_secret_is_cleaned() -> None:
    error = refusal(ValueError(f"cannot decode {MARK}-AWS_SESSION_TOKEN"), parse("s3://bucket"), "s3://bucket/x")
    assert str(error) == "s3://bucket/x: cannot decode ***"
