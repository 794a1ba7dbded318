"""Requests to object stores and web servers, through obstore; the only file that knows it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import obstore
from obstore.exceptions import BaseError, InvalidPathError
from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from clmr.errors import ConfigError, StorageError
from sharding.storage.place import Pause, Piece, Version
from sharding.storage.profile import s3_settings
from sharding.storage.refusals import can_pass, refusal, status_of, unusable, was_repeated
from sharding.storage.retries import Retries
from sharding.storage.urls import Address

if TYPE_CHECKING:
    from obstore import ObjectMeta, WritableFile
    from obstore.store import AzureConfig, ClientConfig, ObjectStore, RetryConfig, S3Config

RETRY_SECONDS = 120.0
"""How long a request is repeated, at growing intervals, after answers and failures that can pass: 5xx, refused and
broken connections, timeouts."""
FIRST_SECONDS = 12.0
"""The same for the first request of a process to a bucket: a wrong address should not take minutes."""
STALL_SECONDS = 30.0
"""A download that stands still for so long is cut off and repeated."""
SEND_SECONDS = 300.0
"""Limit of one request that sends. obstore counts the body in, and its own 30 s end a slow but healthy transfer; no
request here carries more than 8 MiB, which pass in that time at 28 kB/s. Uploads have no other limit: obstore's limit
for a standstill counts the time in which a request is sent as one. Downloads have that one, and no other."""
PART = 8 << 20
"""Bytes of one part of an upload."""
PARTS_IN_FLIGHT = 3
"""Parts under way at once; an upload holds one more part in memory than that."""

FAILURES = (BaseError, OSError, ValueError)
"""What obstore raises."""


@dataclass(frozen=True, repr=False)
class Connection:
    """The stores of one bucket; several, because what fits downloads breaks slow uploads."""

    at: Address
    """Which bucket."""
    ask: ObjectStore
    """For what is small: sizes and listings."""
    down: ObjectStore
    """For ranges. It repeats nothing: obstore does so only before the body, counts nothing and cannot be stopped."""
    up: ObjectStore
    process: int
    """The only one that can use them."""


_connections: dict[tuple[Address, int], Future[Connection]] = {}
_lock = threading.Lock()
_process: list[int] = []  # the process that used obstore first; its children by fork must not


def connect(at: Address) -> Connection:
    """The connection to a bucket: one per process, made and tried out where it is first needed.

    Raises:
        StorageError: the server does not answer, there is no such bucket, or this process was forked.
        ConfigError: the settings cannot be used.
    """
    if _process:
        _refuse_fork(at, _process[0])
    # Other credentials or another endpoint in the environment take effect at once.
    settings = hash(frozenset(item for item in os.environ.items() if item[0].startswith(("AWS_", "AZURE_", "GOOGLE_"))))
    with _lock:
        if not _process:
            _process.append(os.getpid())
        first = (at, settings) not in _connections
        found = _connections.setdefault((at, settings), Future())
    if first:
        try:
            found.set_result(_make_connection(at))
        except BaseException as error:  # those that waited for it get it too; who comes later tries again
            del _connections[at, settings]
            found.set_exception(error)
            raise
    return found.result()


def _make_connection(at: Address) -> Connection:
    _greet(at)
    down: ClientConfig = {"read_timeout": timedelta(seconds=STALL_SECONDS), "timeout": timedelta(days=1)}
    return Connection(
        at, _store(at, RETRY_SECONDS, down), _store(at, 0, down), _store(at, RETRY_SECONDS, {}), os.getpid()
    )


def _refuse_fork(at: Address, process: int) -> None:
    if os.getpid() != process:
        raise StorageError(
            f"{at.url}: object storage was used before this process was forked from its parent, and would hang in it; "
            "start processes with the method 'spawn' or 'forkserver'"
        )


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
    client: ClientConfig = {"timeout": timedelta(seconds=SEND_SECONDS), **options}
    retry: RetryConfig = {
        "max_retries": 10_000 if retry_seconds else 0,  # it is the time that ends it
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
            return obstore.head(connection.ask, key)["size"]
    except FileNotFoundError:
        return None


def version(at: Address, key: str, address: str) -> Version:
    """What an object is now.

    Raises:
        FileNotFoundError: there is none.
    """
    with _asking(at, address) as connection:
        return _version(obstore.head(connection.ask, key))


def _version(meta: ObjectMeta) -> Version:
    """What a store says an object is. The same object may have a weak tag in one answer and a strong one in another."""
    if meta["e_tag"]:
        return Version(meta["size"], meta["e_tag"].removeprefix("W/").strip('"'))
    modified = meta["last_modified"]  # of a web server without tags; 1970 where it does not say this either
    return Version(meta["size"], modified.isoformat() if modified.timestamp() else None)


def get(connection: Connection, key: str, address: str, begin: int, end: int, pause: Pause = time.sleep) -> Piece:
    """Bytes of an object from one position to another, fewer where the object ends.

    Raises:
        FileNotFoundError: there is none.
    """
    _refuse_fork(connection.at, connection.process)
    retries: Retries | None = None
    while True:
        try:
            return _get(connection, key, begin, end)
        except FAILURES as error:
            retries = retries or Retries(RETRY_SECONDS, pause)
            if not (can_pass(error) and retries.wait()):
                raise refusal(error, connection.at, address, retries.made) from None


def _get(connection: Connection, key: str, begin: int, end: int) -> Piece:
    try:
        answer = obstore.get(connection.down, key, options={"range": (begin, end)})
    except BaseError as error:
        meta = obstore.head(connection.ask, key) if status_of(str(error)) == "416" else None
        if meta is None or meta["size"] > begin:
            raise
        return Piece(b"", _version(meta))  # the object ends before the range, as an empty one always does
    data = memoryview(answer.bytes())
    sent = answer.range[1] - answer.range[0]
    if len(data) != sent:
        raise ConnectionAbortedError(f"HTTP error: UnexpectedEof after {len(data)} of {sent} bytes")
    return Piece(data, _version(answer.meta))


def files(at: Address, prefix: str, address: str) -> tuple[dict[str, int], list[str]]:
    """Keys and bytes of the objects directly in a folder, and the folders in it.

    Raises:
        UnlistableError: one of them cannot be addressed.
    """
    with _asking(at, address) as connection:
        found = obstore.list_with_delimiter(connection.ask, prefix or None)
        return {meta["path"]: meta["size"] for meta in found["objects"]}, list(found["common_prefixes"])


def walk(at: Address, prefix: str, address: str) -> dict[str, int]:
    """Keys and bytes of all objects below a folder.

    Raises:
        UnlistableError: one of them cannot be addressed.
    """
    with _asking(at, address) as connection:
        pages = obstore.list(connection.ask, prefix or None, chunk_size=1000)
        return {meta["path"]: meta["size"] for page in pages for meta in page}


def remove(at: Address, key: str, address: str, pause: Pause = time.sleep) -> None:
    """Remove an object; nothing happens where there is none."""
    retries: Retries | None = None
    while True:
        with suppress(FileNotFoundError), _asking(at, address) as connection:
            try:
                obstore.delete(connection.up, key)
            except FAILURES as error:
                # obstore repeats what was not answered, but not a removal that broke off: it may have been done.
                retries = retries or Retries(RETRY_SECONDS, pause)
                if can_pass(error) and not was_repeated(error) and retries.wait():
                    continue
                raise
        return


def open_writer(at: Address, key: str, address: str) -> WritableFile:
    """An object to write, in parts, several under way at once; obstore raises :data:`FAILURES` of its own."""
    with _asking(at, address) as connection:
        return obstore.open_writer(connection.up, key, buffer_size=PART, max_concurrency=PARTS_IN_FLIGHT)


@contextmanager
def _asking(at: Address, address: str) -> Iterator[Connection]:
    """The connection to a bucket; obstore's errors leave as the project's."""
    connection = connect(at)
    try:
        yield connection
    except InvalidPathError as error:
        what = str(error).partition("\n")[0].partition("path: ")[2]
        raise UnlistableError(f"{address}: holds an object that cannot be addressed; rename it ({what})") from None
    except FAILURES as error:
        raise refusal(error, at, address) from None
