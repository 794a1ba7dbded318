"""Ranges of files that may change meanwhile, and many sizes at once."""

from __future__ import annotations

import os
import pickle
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from clmr.errors import StorageError
from sharding.storage import Place, Version, place_at
from tests.servers.s3 import Server, needs_s3
from tests.servers.web import Quiet, files_of, serving

DATA = os.urandom(10_000)


@pytest.fixture(params=["folder", pytest.param("bucket", marks=needs_s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    place = place_at(tmp_path if request.param == "folder" else f"{request.getfixturevalue('bucket')}/music")
    place.write("train/song", DATA)
    return place


def test_a_piece_says_of_which_version_it_is(place: Place) -> None:
    version = place.version("train/song")
    assert version.size == len(DATA)
    assert version.tag
    piece = place.piece("train/song", 100, 300)
    assert (bytes(piece.data), piece.version) == (DATA[100:300], version)
    assert bytes(place.fetch("train/song", 9_000, 10_000, version)) == DATA[9_000:]
    assert bytes(place.piece("train/song", 9_990, 10_010).data) == DATA[9_990:]
    assert bytes(place.piece("train/song", 20_000, 20_010).data) == b""


def test_another_version_is_refused(place: Place) -> None:
    version = place.version("train/song")
    for other in (os.urandom(10_000), DATA[:1000], b""):  # another one, a shorter one, none of it
        place.write("train/song", other)
        with pytest.raises(StorageError, match=rf"^{place.address('train/song')}: was replaced while in use"):
            place.fetch("train/song", 5_000, 6_000, version)
    place.write("train/song", DATA)
    assert bytes(place.fetch("train/song", 5_000, 6_000, place.version("train/song"))) == DATA[5_000:6_000]


def test_a_missing_file_has_neither_version_nor_pieces(place: Place) -> None:
    for ask in (lambda: place.version("no"), lambda: place.piece("no", 0, 1)):
        with pytest.raises(FileNotFoundError) as caught:
            ask()
        assert str(caught.value.filename) == place.address("no")


def test_sizes_of_many_files_in_several_folders(place: Place) -> None:
    expected = {f"{folder}/{number:03d}": 10 * number for folder in ("test", "train/deep") for number in range(20)}
    for name, size in expected.items():
        place.write(name, bytes(size))
    place.write("manifest", b"{}")
    names = [*expected, "manifest", "train/song", "train/000", "valid/000", "train/deep/020", "train"]
    assert place.sizes(names) == {**expected, "manifest": 2, "train/song": len(DATA)}
    assert place.sizes([]) == {}


@needs_s3
def test_another_process_gets_no_connection(bucket: str) -> None:
    place = place_at(bucket)
    place.write("song", DATA)
    place.piece("song", 0, 10)
    assert b"test-secret" not in pickle.dumps(place)
    assert bytes(pickle.loads(pickle.dumps(place)).piece("song", 0, 10).data) == DATA[:10]  # noqa: S301 - our own


def test_sizes_on_a_web_server_are_asked_for_one_by_one() -> None:
    files = {f"shards/{number}.tar": bytes(number) for number in range(200)}
    with serving(files_of(files)) as address:
        place = place_at(address)
        assert place.sizes([*files, "shards/200.tar"]) == {name: len(data) for name, data in files.items()}


def test_sizes_end_with_the_first_error() -> None:
    asked: list[str] = []

    class Refuses(Quiet):
        def head(self) -> None:
            asked.append(self.path)
            self.reply(403)

    with serving(Refuses) as address, pytest.raises(PermissionError, match="access denied") as caught:
        place_at(address).sizes([f"{number}.tar" for number in range(10_000)])
    assert caught.value.filename.startswith(f"{address}/")
    assert len(asked) < 10_000


@pytest.mark.needs("radosgw")
def test_sizes_in_a_bucket_that_nobody_may_list(
    bucket: str, s3_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bucket.removeprefix("s3://")
    for number in range(3):
        place_at(bucket).write(f"train/{number}", bytes(number + 1))
    policy = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",'
        f' "Resource": "arn:aws:s3:::{name}/*"}}]}}'
    )
    s3_server.request("PUT", f"/{name}", {"policy": ""}, policy.encode())
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    with pytest.raises(PermissionError):
        place_at(bucket).files("train")
    assert place_at(bucket).sizes([f"train/{number}" for number in range(3)]) == {f"train/{n}": n + 1 for n in range(3)}


def tagged(head: dict[str, str], get: dict[str, str]) -> type[BaseHTTPRequestHandler]:
    """A web server that sends these headers with its answers to HEAD and to GET."""

    class Tagged(Quiet):
        def head(self) -> None:
            self.answer(200, DATA, head)

        def get(self) -> None:
            begin, end = self.wanted(len(DATA))
            self.answer(206, DATA[begin:end], {"Content-Range": f"bytes {begin}-{end - 1}/{len(DATA)}", **get})

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    return Tagged


MONDAY, TUESDAY = "Mon, 05 Jan 2026 10:00:00 GMT", "Tue, 06 Jan 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("head", "get", "tag"),
    [
        ({"ETag": '"abc"'}, {"ETag": '"abc"'}, "abc"),
        ({"ETag": 'W/"abc"'}, {"ETag": '"abc"'}, "abc"),
        ({"ETag": '"abc"'}, {"ETag": "abc"}, "abc"),
        ({"ETag": '"abc"', "Last-Modified": MONDAY}, {"ETag": '"abc"'}, "abc"),
        ({"Last-Modified": MONDAY}, {"Last-Modified": MONDAY}, "2026-01-05T10:00:00+00:00"),
        ({}, {}, None),
    ],
)
def test_tags_of_web_servers(head: dict[str, str], get: dict[str, str], tag: str | None) -> None:
    with serving(tagged(head, get)) as address:
        place = place_at(address)
        version = place.version("song")
        assert version == Version(len(DATA), tag)
        assert bytes(place.fetch("song", 10, 20, version)) == DATA[10:20]


def test_a_file_of_another_time_is_another_version() -> None:
    with serving(tagged({"Last-Modified": MONDAY}, {"Last-Modified": TUESDAY})) as address:
        place = place_at(address)
        with pytest.raises(StorageError, match="song: was replaced while in use"):
            place.fetch("song", 10, 20, place.version("song"))
