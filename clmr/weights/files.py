"""The one place where weights touch files: read whole, taken out of a zip asset, written whole."""

from __future__ import annotations

import io
import os
import re
import struct
import uuid
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from clmr.errors import ResumeError

SUFFIXES = (".pt", ".pth", ".ckpt", ".tar", ".safetensors")  # of the files of weights in an asset; .tar is the authors'
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # pathlib leaves one of the two slashes
NO_ZIP = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error)  # what zipfile raises of other bytes
LARGEST = 4 * 2**30  # bytes of a file, and of all that a zip unpacks to; the largest network takes a hundredth of it
SMALL = 64 * 2**20  # bytes that a zip may unpack to however small it is
EXPANSION = 100  # times its size that a larger one may; weights lose next to nothing by compression


class Content(NamedTuple):
    """One file of weights in memory."""

    name: str
    """Its path, followed by the name of its member where it lies in a zip; for messages only."""
    data: bytes


def read_contents(path: Path) -> list[Content]:
    """The file at ``path``, or the files of weights in it where it is a zip of such files.

    ``torch.save`` writes zips as well; those are files of weights themselves, whatever they are called. Nothing is
    unpacked onto the disk, so the names of members are never paths.

    Raises:
        ResumeError: there is no such file, it is too large, the zip is damaged, or it holds no weights.
    """
    if not path.is_file():
        raise ResumeError(f"{path} is not a file; give a file of weights")
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ResumeError(f"{path} has {size} bytes; at most {LARGEST} are read")
        data = path.read_bytes()
    except OSError as error:
        raise ResumeError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except NO_ZIP:
        return [Content(str(path), data)]
    with archive:
        names = archive.namelist()
        if any(PurePosixPath(name).name == "data.pkl" for name in names):
            return [Content(str(path), data)]
        # macOS adds its own folder of small files that bear the same names.
        chosen = [name for name in names if name.endswith(SUFFIXES) and not name.startswith("__MACOSX/")]
        if not chosen:
            raise ResumeError(f"{path} is a zip without weights: it holds no file that ends in {', '.join(SUFFIXES)}")
        check_expansion(str(path), archive, len(data))
        return [Content(f"{path}:{name}", _member(path, archive, name)) for name in chosen]


def local(path: str | Path) -> Path:
    """The path; a URL is none.

    Raises:
        ResumeError: it is a URL.
    """
    if URL.match(str(path)):
        raise ResumeError(f"{path} is a URL; fetch the file and give its path")
    return Path(path)


def check_expansion(source: str, archive: zipfile.ZipFile, size: int) -> None:
    """Refuse a zip of ``size`` bytes that says it unpacks to far more than weights would.

    Raises:
        ResumeError: it names both sizes.
    """
    unpacked = sum(member.file_size for member in archive.infolist())
    most = min(LARGEST, max(SMALL, EXPANSION * size))
    if unpacked > most:
        raise ResumeError(f"{source} has {size} bytes and unpacks to {unpacked}; at most {most} are read")


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)  # checks the member's sum; a member never gives more than the size it states
    except (*NO_ZIP, zlib.error, RuntimeError, OSError, EOFError) as error:
        raise ResumeError(f"{path}:{name} cannot be unpacked ({error}); fetch the file again") from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
