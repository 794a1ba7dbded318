"""URLs of folders: every kind is understood, and a password in one is refused without being repeated."""

from __future__ import annotations

from pathlib import Path

import pytest
from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from clmr.errors import ConfigError
from sharding.storage import LocalPlace, objects, place_at
from sharding.storage.bucket import ObjectPlace
from sharding.storage.urls import Address, parse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("s3://b", ("s3", "b", "", "")),
        ("s3://b/", ("s3", "b", "", "")),
        ("S3A://b/x y/%20#1/", ("s3", "b", "x y/%20#1", "")),
        ("gs://b/x/y", ("gs", "b", "x/y", "")),
        ("az://container/x", ("az", "container", "x", "")),
        ("abfss://container@account.dfs.core.windows.net/x", ("az", "container", "x", "account")),
        ("https://host/x%20y/", ("http", "https://host/x%20y", "", "")),
    ],
)
def test_parts_of_a_url(url: str, address: tuple[str, str, str, str]) -> None:
    kind, bucket, prefix, account = address
    assert parse(url) == Address(url, kind, bucket, prefix, account)
    place = place_at(url)
    assert isinstance(place, ObjectPlace)
    assert place.name == url
    assert place.root is None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/x", "ftp://: not a kind of storage that is known"),
        ("s3://", "names no bucket"),
        ("s3:///x", "names no bucket"),
        ("https:///x", "names no host"),
        ("s3://b/x//y", "no folder of an object store can be called that"),
        ("s3://b/../y", "no folder of an object store can be called that"),
        ("s3://user:hunter2@b/x", "must not hold a user name or password"),
        ("https://hunter2@host/x", "must not hold a user name or password"),
        ("az://user:hunter2@account.dfs.core.windows.net/x", "must not hold a user name or password"),
        ("https://account.blob.core.windows.net/c?sig=hunter2", "credentials are never part of it"),
        ("az://c/x?sv=1&sig=hunter2", "credentials are never part of it"),
        ("https://host/x#hunter2", "credentials are never part of it"),
    ],
)
def test_urls_that_are_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        place_at(url)
    assert "hunter2" not in str(caught.value)


def test_paths_are_folders(tmp_path: Path) -> None:
    assert isinstance(place_at(tmp_path), LocalPlace)
    assert isinstance(place_at("a:b/c"), LocalPlace)


def test_the_store_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's and Azure's are made, not used: there is no server of theirs to test against."""
    s3 = objects._store(parse("s3://b/x"), 1, {})
    gs = objects._store(parse("gs://b/x"), 1, {})
    named = objects._store(parse("abfs://c@account.dfs.core.windows.net/x"), 1, {})
    web = objects._store(parse("https://host/x"), 1, {})
    assert isinstance(s3, S3Store)
    assert isinstance(gs, GCSStore)
    assert isinstance(named, AzureStore)
    assert isinstance(web, HTTPStore)
    assert (s3.config["bucket"], s3.prefix) == ("b", None)
    assert (gs.config["bucket"], gs.prefix) == ("b", None)
    assert (named.config["container_name"], named.config["account_name"]) == ("c", "account")
    assert web.url == "https://host/x"
    with pytest.raises(ConfigError, match=r"az://c/x: cannot be used: .*Account must be specified"):
        objects._store(parse("az://c/x"), 1, {})
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "other")
    assert isinstance(objects._store(parse("az://c/x"), 1, {}), AzureStore)
