"""A folder that exists in memory only: a million files cost nothing, and nothing but `Place` can reach them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO, NoReturn

from sharding.datasets.catalog import Catalog, Request
from sharding.faults import Fault
from sharding.storage import Listing, Place, Writer

AUDIO = b"not decoded while planning"


class MemoryPlace(Place):
    """Files by their names; a bucket, as far as anyone can tell."""

    def __init__(self, files: Mapping[str, bytes], closed: tuple[str, ...] = ()) -> None:
        self._files = files
        self._closed = closed

    @property
    def name(self) -> str:
        return "s3://music/raw"

    def size(self, name: str) -> int | None:
        return len(self._files[name]) if name in self._files else None

    def read(self, name: str) -> bytes:
        if name not in self._files:
            raise FileNotFoundError(2, "No such file", self.address(name))
        return self._files[name]

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self.read(name))

    def files(self, folder: str) -> dict[str, int]:
        return {name: len(data) for name, data in self._files.items() if name.rpartition("/")[0] == folder}

    def walk(self) -> Listing:
        return Listing(tuple(sorted(self._files)), self._closed)

    def create(self, name: str) -> AbstractContextManager[Writer]:
        return self._refuse(name)

    def remove(self, name: str) -> None:
        self._refuse(name)

    def _refuse(self, name: str) -> NoReturn:
        raise AssertionError(f"planning wrote {name}")


def request(
    files: Mapping[str, bytes], unit: str = "clip", variant: str = "", seed: int = 0, closed: tuple[str, ...] = ()
) -> Request:
    """What a data set is asked of these files."""
    return Request(MemoryPlace(files, closed), seed, unit, variant)


def audio(*names: str) -> dict[str, bytes]:
    """Audio files of these names."""
    return dict.fromkeys(names, AUDIO)


def splits(catalog: Catalog, *faults: Fault | None) -> tuple[int, int, int]:
    """Recordings of train, valid and test with one of these faults; those without any by default."""
    wanted = set(faults or (None,))
    chosen = [recording.split for recording in catalog.recordings if recording.fault in wanted]
    return chosen.count("train"), chosen.count("valid"), chosen.count("test")
