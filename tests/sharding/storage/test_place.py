"""One interface for a folder and a bucket: the same tests for both."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharding.storage import Place, place_at
from tests.servers.s3 import needs_s3

ODD_NAMES = [
    "a b.mp3",
    "100%.mp3",
    "a%20b",
    "#1.mp3",
    "a+b",
    "été/Ünï.mp3",
    "日本語.flac",
    "[x] {y} ~z",
    "q?x=1&y;z",
    "a\\b",
]


@pytest.fixture(params=["folder", pytest.param("bucket", marks=needs_s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return place_at(tmp_path / "not there yet")
    return place_at(f"{request.getfixturevalue('bucket')}/music here")


def test_what_is_written_is_read(place: Place) -> None:
    place.write("train/000000.tar", b"data")
    assert place.read("train/000000.tar") == b"data"
    assert place.size("train/000000.tar") == 4
    place.write("train/000000.tar", b"other data")
    assert place.read("train/000000.tar") == b"other data"


def test_a_missing_file_is_missing(place: Place) -> None:
    assert place.size("no") is None
    for ask in (place.read, place.open):
        with pytest.raises(FileNotFoundError) as caught:
            ask("no")
        assert caught.value.filename == place.address("no")
        assert caught.value.strerror == "No such file or directory"
    place.remove("no")


def test_an_empty_file_is_a_file(place: Place) -> None:
    with place.create("empty"):
        pass
    assert place.size("empty") == 0
    assert place.read("empty") == b""
    with place.open("empty") as file:
        assert file.read() == b""
    assert place.files("") == {"empty": 0}
    assert place.walk().files == ("empty",)


def test_listings(place: Place) -> None:
    assert place.files("") == place.files("no") == {}
    for name in ("b", "a/2", "a/1", "a/deep/x", "ab/y"):
        place.write(name, name.encode())
    assert place.walk().files == ("a/1", "a/2", "a/deep/x", "ab/y", "b")
    assert list(place.files("a").items()) == [("1", 3), ("2", 3)]
    assert place.files("") == {"b": 1}
    assert place.files("a/deep") == {"x": 8}
    place.remove("b")
    assert place.size("b") is None


def test_odd_names(place: Place) -> None:
    for name in ODD_NAMES:
        place.write(name, name.encode())
    assert set(place.walk().files) == set(ODD_NAMES)
    assert all(place.read(name) == name.encode() for name in ODD_NAMES)
    assert place.files("été") == {"Ünï.mp3": 15}


# What both a Linux folder and an object store can hold; '.' and '..' are no names.
NAME = st.text(
    st.characters(codec="utf-8", exclude_characters="/", exclude_categories=["Cc"]), min_size=1, max_size=40
).filter(lambda name: name.strip(".") and len(name.encode()) < 200)


def test_any_name(place: Place) -> None:
    place.size("x")  # the folder of a bucket needs no making, that on a disk does
    written: set[str] = set()

    @given(NAME)
    @settings(max_examples=30)
    def holds(name: str) -> None:
        place.write(f"any/{name}", b"1")
        written.add(name)
        assert place.size(f"any/{name}") == 1

    holds()
    assert set(place.files("any")) == written


def test_an_error_while_writing_leaves_what_was_there(place: Place) -> None:
    place.write("file", b"old")

    def fail() -> None:
        with place.create("file") as file:
            file.write(b"new" * 1000)
            raise RuntimeError("mid-way")

    with pytest.raises(RuntimeError, match="mid-way"):
        fail()
    assert place.read("file") == b"old"
    assert place.walk().files == ("file",)


def test_buffers_may_be_used_again_after_they_were_written(place: Place) -> None:
    buffer = bytearray(3 << 20)
    expected = b""
    with place.create("file") as file:
        for number in range(7):
            buffer[:] = bytes([number]) * len(buffer)
            file.write(memoryview(buffer))
            expected += buffer
            buffer[:] = b"\xff" * len(buffer)
    assert place.read("file") == expected


def test_reading_at_any_position(place: Place) -> None:
    data = os.urandom(300_000)
    place.write("file", data)
    with place.open("file") as file:
        assert file.seek(-10, os.SEEK_END) == len(data) - 10
        assert file.read(100) == data[-10:]
        assert file.seek(123_456) == 123_456
        assert file.read(7) == data[123_456:123_463]
        assert file.seek(-7, os.SEEK_CUR) == file.tell() == 123_456
        file.seek(0)
        assert file.read() == data
        assert file.read(1) == b""


def test_a_place_can_be_sent(place: Place) -> None:
    place.write("file", b"data")
    sent = pickle.loads(pickle.dumps(place))  # noqa: S301 - written on this very line
    assert sent.name == place.name
    assert sent.read("file") == b"data"
    assert place_at(place) is place
