"""What servers refuse, said in one line that names the URL, the cause and what to do."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from clmr.errors import StorageError
from sharding.storage import place_at
from sharding.storage.objects import PART
from tests.servers.ceph import Ceph
from tests.servers.s3 import free_ports
from tests.servers.web import Quiet, files_of, serving


def answering(status: int, code: str, times: int = 10**9) -> type[BaseHTTPRequestHandler]:
    """A handler that answers everything but the first request with an error, so many times."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>line one\nline two</Message></Error>".encode()
    left = [times]

    class Answers(Quiet):
        def head(self) -> None:
            self.reply(200, b"data" if not left[0] else b"")

        def get(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if left[0]:
                left[0] -= 1
                self.reply(status, body)
            elif self.command == "PUT":
                self.reply(200, ETag='"1"')
            else:
                self.reply(206, b"data", ETag='"1"', Content_Range="bytes 0-3/4")

        put = delete = post = get

    return Answers


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (
            403,
            "AccessDenied",
            PermissionError,
            "access denied (403 AccessDenied); check the credentials (AWS_ACCESS_KEY",
        ),
        (401, "", PermissionError, "access denied (401); check the credentials"),
        (403, "RequestTimeTooSkewed", StorageError, "refused (403 RequestTimeTooSkewed); the clock of this machine"),
        (403, "QuotaExceeded", StorageError, "the bucket is full (403 QuotaExceeded); free space in it"),
        (507, "XMinioStorageFull", StorageError, "the bucket is full (507 XMinioStorageFull, after "),
        (503, "SlowDown", StorageError, "fails (503 SlowDown, after "),
        (404, "NoSuchBucket", StorageError, "there is no such bucket (404 NoSuchBucket); create it"),
        (301, "PermanentRedirect", StorageError, "the bucket is in another region than 127.0.0.1"),
        (400, "KeyTooLongError", StorageError, "refuses the request (400 KeyTooLongError)"),
    ],
)
def test_refusals_are_said_in_one_line(
    at: Callable[[str], str], status: int, code: str, kind: type[Exception], said: str
) -> None:
    with serving(answering(status, code)) as address:
        place = place_at(at(address))
        for use in (lambda: place.read("song"), lambda: place.write("song", b"data"), lambda: place.files("")):
            with pytest.raises(kind) as caught:
                use()
            error = caught.value
            line, named = str(error), str(error)
            if isinstance(error, OSError):
                line, named = str(error.strerror), str(error.filename)
            assert said in line
            assert "\n" not in line
            assert "line one" not in line
            assert len(line) < 300
            assert "s3://bucket/music" in named


def test_what_can_pass_is_tried_again(at: Callable[[str], str]) -> None:
    for status in (500, 503):
        with serving(answering(status, "SlowDown", times=3)) as address:
            place = place_at(at(address))
            assert place.read("song") == b"data"
        with serving(answering(status, "SlowDown", times=3)) as address:
            place_at(at(address)).write("song", b"data")


@pytest.mark.usefixtures("impatient")
def test_no_credentials(at: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with serving(answering(404, "")) as address:
        place = place_at(at(address))
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("HOME", str(tmp_path))
        for metadata in (address, f"http://127.0.0.1:{free_ports(1)[0]}"):
            monkeypatch.setenv("AWS_METADATA_ENDPOINT", metadata)
            with pytest.raises(StorageError, match=r"no credentials were found \(AWS_ACCESS_KEY_ID and"):
                place.read("song")


def test_a_bucket_that_says_nothing_of_itself_is_used(at: Callable[[str], str]) -> None:
    class Taciturn(files_of({"bucket/music/song": b"data"})):  # type: ignore[misc]  # made by a function
        def head(self) -> None:
            self.send_response(200)  # Amazon's answer for a bucket has no length
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()

    with serving(Taciturn) as address:
        assert place_at(at(address)).read("song") == b"data"


def test_a_web_server_without_ranges_is_named() -> None:
    class Whole(Quiet):
        def get(self) -> None:
            self.reply(200, b"data")

        head = get

    message = "/song: .* does not answer requests for ranges of bytes"
    with serving(Whole) as address, pytest.raises(StorageError, match=message):
        place_at(address).read("song")


@pytest.mark.needs("radosgw")
@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_keys(bucket: str, ceph: Ceph, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    place_at(bucket).write("song", b"data")
    monkeypatch.setenv(wrong, "something else")
    place = place_at(bucket)
    for use in (
        lambda: place.read("song"),
        lambda: place.size("song"),
        place.walk,
        lambda: place.write("song", b""),
        lambda: place.write("song", bytes(PART + 1)),
        lambda: place.remove("song"),
    ):
        with pytest.raises(PermissionError, match="check the credentials") as caught:
            use()
        assert caught.value.filename.startswith(bucket)
    assert ceph.keys_in(bucket.removeprefix("s3://")) == ["song"]


@pytest.mark.needs("radosgw")
@pytest.mark.usefixtures("bucket")
def test_a_missing_bucket() -> None:
    place = place_at("s3://no-such-bucket/music")
    for use in (
        lambda: place.read("song"),
        lambda: place.size("song"),
        place.walk,
        lambda: place.files(""),
        lambda: place.write("song", b""),
        lambda: place.remove("song"),
    ):
        with pytest.raises(StorageError, match=r"^s3://no-such-bucket/music: there is no such bucket"):
            use()
