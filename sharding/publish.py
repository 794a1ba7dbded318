"""Files appear whole or not at all, and one process at a time works in a folder."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from clmr.errors import ConfigError

PART = re.compile(r"\..+\.([0-9]+)\.[0-9a-f]{8}\.part")  # .NAME.HOST.PROCESS.RANDOM.part
DAY_SECONDS = 86400


@contextmanager
def publish(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it becomes ``path``, on error nothing is left.

    What is published is on the disk, not only in its cache, before the name changes. The temporary name holds host,
    process and a random part, so two machines on one file system never meet; it ends in ``.part``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)  # a full disk does not say whose write it was
        raise
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def remove_orphans(folder: Path) -> None:
    """Remove the unfinished files in ``folder`` of processes that are no more.

    Of those of other machines nothing is known: they go when nobody has written to them for a day.
    """
    for path in folder.glob(".*.part"):
        match = PART.fullmatch(path.name)
        if match is None:
            continue
        with suppress(FileNotFoundError):
            if f".{socket.gethostname()}.{match[1]}." in path.name:
                over = not _is_alive(int(match[1]))
            else:
                over = path.stat().st_mtime < time.time() - DAY_SECONDS
            if over:
                path.unlink()


@contextmanager
def claimed(folder: Path, share: str = "") -> Iterator[None]:
    """Hold ``folder`` for this process alone; the claim ends with the process, however that dies.

    Args:
        folder: made where it is missing.
        share: the name of the part of the work that this process does, beside processes that do others.

    Raises:
        ConfigError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole, own = folder / ".lock", folder / f".lock.{share}"
    # To be read too: NFS shares a lock among readers only.
    with whole.open("a+") as all_of_it, own.open("a+") if share else nullcontext() as part:
        try:
            fcntl.flock(all_of_it, (fcntl.LOCK_SH if share else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            if part:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"another process is working in {folder}; wait for it or give another folder") from error
        try:
            yield
        finally:
            if not share and [path.name for path in folder.iterdir()] == [whole.name]:  # nothing came of it
                whole.unlink()
                folder.rmdir()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A process that was killed and waits to be reaped still answers, but has no command line any more.
    command_line = Path(f"/proc/{process}/cmdline")
    try:
        return not command_line.exists() or command_line.read_bytes() != b""
    except OSError:  # it went between the two looks
        return False
