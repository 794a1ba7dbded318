"""The one place where weights touch files: read whole, taken out of a zip asset, written whole."""

from __future__ import annotations

import io
import os
import struct
import uuid
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from clmr.errors import ResumeError

SUFFIXES = (".pt", ".pth", ".ckpt", ".tar", ".safetensors")  # of the files of weights in an asset; .tar is the authors'
NO_ZIP = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error)  # what zipfile raises of other bytes
LARGEST = 4 * 2**30  # bytes of one unpacked file; the largest network here takes a hundredth of it


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
        ResumeError: there is no such file, the zip is damaged, or it holds no weights.
    """
    if not path.is_file():
        raise ResumeError(f"{path} is not a file; give a file of weights")
    data = path.read_bytes()
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
        return [Content(f"{path}:{name}", _member(path, archive, name)) for name in chosen]


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    size = archive.getinfo(name).file_size
    if size > LARGEST:
        raise ResumeError(f"{path}:{name} unpacks to {size} bytes; at most {LARGEST} are read")
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
