"""Requests to object stores and web servers, through obstore; the only file that knows it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import obstore
from obstore.exceptions import BaseError, InvalidPathError
from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from clmr.errors import ConfigError, StorageError
from sharding.storage.place import Version
from sharding.storage.profile import s3_settings
from sharding.storage.refusals import refusal, status_of, unusable
from sharding.storage.urls import Address

if TYPE_CHECKING:
    from obstore import WritableFile
    from obstore.store import AzureConfig, ClientConfig, ObjectStore, RetryConfig, S3Config

RETRY_SECONDS = 120.0
"""How long a request is repeated, at growing intervals, after answers and failures that can pass: 5xx, refused and
broken connections, timeouts."""
FIRST_SECONDS = 12.0
"""The same for the first request of a process to a bucket: a wrong address should not take minutes."""
STALL_SECONDS = 60.0
"""A download that stands still for so long is cut off and repeated."""
REQUEST_SECONDS = 300.0
"""Limit of one request. obstore counts the body in, and its own 30 s end a slow but healthy transfer; no request here
carries more than 8 MiB, which pass in that time at 28 kB/s. Uploads have no other limit: obstore's limit for a
standstill counts the time in which a request is sent as one."""
PART = 8 << 20
"""Bytes of one part of an upload."""
PARTS_IN_FLIGHT = 3
"""Parts under way at once; an upload holds one more part in memory than that."""

FAILURES = (BaseError, OSError, ValueError)
"""What obstore raises."""


@dataclass(frozen=True, repr=False)
class _Connection:
    """The stores of one bucket; two, because what fits downloads breaks slow uploads."""

    down: ObjectStore
    up: ObjectStore


_connections: dict[tuple[Address, int], _Connection] = {}
_lock = threading.Lock()
_process: list[int] = []  # the process that used obstore first; its children by fork must not


def _connect(at: Address) -> _Connection:
    """The connection to a bucket: one per process, made and tried out where it is first needed.

    Raises:
        StorageError: the server does not answer, there is no such bucket, or this process was forked.
        ConfigError: the settings cannot be used.
    """
    if _process and _process[0] != os.getpid():
        raise StorageError(
            f"{at.url}: object storage was used before this process was forked from its parent, and would hang in it; "
            "start processes with the method 'spawn' or 'forkserver'"
        )
    # Other credentials or another endpoint in the environment take effect at once.
    settings = hash(frozenset(item for item in os.environ.items() if item[0].startswith(("AWS_", "AZURE_", "GOOGLE_"))))
    with _lock:
        if not _process:
            _process.append(os.getpid())
        found = _connections.get((at, settings))
        if found is None:
            _greet(at)
            stalled: ClientConfig = {"read_timeout": timedelta(seconds=STALL_SECONDS)}
            found = _Connection(_store(at, RETRY_SECONDS, stalled), _store(at, RETRY_SECONDS, {}))
            _connections[at, settings] = found
        return found


def _greet(at: Address) -> None:
    """One request, to learn soon that the server or the bucket is not there; any other answer will do."""
    impatient: ClientConfig = {"read_timeout": timedelta(seconds=FIRST_SECONDS)}
    store = _store(at, FIRST_SECONDS, impatient)
    try:
        obstore.head(store, "")
    except FAILURES as error:
        if unusable(error):
            raise refusal(error, at, at.url) from None
        if status_of(str(error)) == "404" and at.kind == "s3":
            raise StorageError(
                f"{at.url}: there is no such bucket; create it, or correct the URL or the endpoint"
            ) from None


def _store(at: Address, retry_seconds: float, options: ClientConfig) -> ObjectStore:
    client: ClientConfig = {"timeout": timedelta(seconds=REQUEST_SECONDS), **options}
    retry: RetryConfig = {
        "max_retries": 10_000,  # it is the time that ends it
        "retry_timeout": timedelta(seconds=retry_seconds),
        "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2},
    }
    try:
        if at.kind == "s3":
            settings, plain = s3_settings(os.environ)
            if plain:
                client["allow_http"] = True
            # One DELETE per object: the request for many at once is not understood everywhere.
            config = cast("S3Config", {**settings, "disable_bulk_delete": True})
            return S3Store(at.bucket, config=config, client_options=client, retry_config=retry)
        if at.kind == "gs":
            return GCSStore(at.bucket, client_options=client, retry_config=retry)
        if at.kind == "az":
            account: AzureConfig = {"account_name": at.account} if at.account else {}
            return AzureStore(at.bucket, config=account, client_options=client, retry_config=retry)
        client["allow_http"] = True
        return HTTPStore(at.bucket, client_options=client, retry_config=retry)
    except FAILURES as error:
        raise ConfigError(f"{at.url}: cannot be used: {refusal(error, at, 'the settings')}") from None


@dataclass(frozen=True)
class Piece:
    """A range of an object."""

    data: memoryview
    """Its bytes, fewer where the object ends."""
    size: int
    """Bytes of the whole object."""
    version: str | None
    """Tells versions of the object apart."""


class UnlistableError(StorageError):
    """A folder holds an object whose name obstore refuses, and with it the whole listing."""


def size(at: Address, key: str, address: str) -> int | None:
    """Bytes of an object; None where there is none.

    Args:
        at: says which bucket.
        key: of the object; in all functions here.
        address: the object's full name, for messages; likewise.

    Raises:
        PermissionError: access is denied; in all functions here.
        StorageError: the server does not answer, there is no such bucket ...; likewise.
    """
    try:
        with _asking(at, address) as connection:
            return obstore.head(connection.down, key)["size"]
    except FileNotFoundError:
        return None


def version(at: Address, key: str, address: str) -> Version:
    """What an object is now.

    Raises:
        FileNotFoundError: there is none.
    """
    with _asking(at, address) as connection:
        meta = obstore.head(connection.down, key)
        return Version(meta["size"], meta["e_tag"])


def get(at: Address, key: str, address: str, begin: int, end: int) -> Piece:
    """Bytes of an object from one position to another.

    Raises:
        FileNotFoundError: there is none.
    """
    with _asking(at, address) as connection:
        try:
            answer = obstore.get(connection.down, key, options={"range": (begin, end)})
        except BaseError as error:
            meta = obstore.head(connection.down, key) if status_of(str(error)) == "416" else None
            if meta is None or meta["size"]:
                raise
            return Piece(memoryview(b""), 0, meta["e_tag"])  # an empty object has no ranges
        return Piece(memoryview(answer.bytes()), answer.meta["size"], answer.meta["e_tag"])


def files(at: Address, prefix: str, address: str) -> tuple[dict[str, int], list[str]]:
    """Keys and bytes of the objects directly in a folder, and the folders in it.

    Raises:
        UnlistableError: one of them cannot be addressed.
    """
    with _asking(at, address) as connection:
        found = obstore.list_with_delimiter(connection.down, prefix or None)
        return {meta["path"]: meta["size"] for meta in found["objects"]}, list(found["common_prefixes"])


def walk(at: Address, prefix: str, address: str) -> dict[str, int]:
    """Keys and bytes of all objects below a folder.

    Raises:
        UnlistableError: one of them cannot be addressed.
    """
    with _asking(at, address) as connection:
        pages = obstore.list(connection.down, prefix or None, chunk_size=1000)
        return {meta["path"]: meta["size"] for page in pages for meta in page}


def remove(at: Address, key: str, address: str) -> None:
    """Remove an object; nothing happens where there is none."""
    with suppress(FileNotFoundError), _asking(at, address) as connection:
        obstore.delete(connection.up, key)


class Sending:
    """An upload, in parts; a single one goes as one request. It appears when it is finished."""

    def __init__(self, at: Address, key: str, address: str) -> None:
        self._at = at
        self._address = address
        self._out_of_reach = False
        with _asking(at, address) as connection:
            self._writer: WritableFile = obstore.open_writer(
                connection.up, key, buffer_size=PART, max_concurrency=PARTS_IN_FLIGHT
            )

    def send(self, part: bytearray) -> None:
        """Send the next part, which must not be touched any more: obstore keeps a reference, not a copy.

        Waits where too many are under way, and raises what became of earlier ones.
        """
        with self._refusing():
            self._writer.write(part)

    def finish(self) -> None:
        """Wait for all parts and put the object in its place. Where a part fails, obstore aborts the upload."""
        with self._refusing():
            self._writer.close()

    def abort(self, error: BaseException) -> None:
        """Have the server forget the parts, if it can be reached."""
        if not self._out_of_reach:  # otherwise it would be tried for as long again
            with suppress(*FAILURES):
                self._writer.__exit__(type(error), error, None)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            status = status_of(str(error))
            self._out_of_reach = not status or status.startswith("5")
            raise refusal(error, self._at, self._address) from None


@contextmanager
def _asking(at: Address, address: str) -> Iterator[_Connection]:
    """The connection to a bucket; obstore's errors leave as the project's."""
    connection = _connect(at)
    try:
        yield connection
    except InvalidPathError as error:
        what = str(error).partition("\n")[0].partition("path: ")[2]
        raise UnlistableError(f"{address}: holds an object that cannot be addressed; rename it ({what})") from None
    except FAILURES as error:
        raise refusal(error, at, address) from None
