"""Files that appear all together or not at all, and sound in the formats in which they are heard."""

from __future__ import annotations

import io
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clmr.errors import ConfigError

Samples = npt.NDArray[np.float32]


@contextmanager
def together(folder: Path, listing: str | None = None) -> Iterator[Path]:
    """Give an empty folder within ``folder``; on success its files move up, on error nothing is left.

    A folder that had to be made goes again when the work fails.

    Args:
        folder: where the files appear; others stay.
        listing: the name of a file that will list them, a name at the beginning of each line. Only what such a list of
            earlier names is replaced. None replaces any file of the same name.

    Raises:
        ConfigError: a file of the same name is somebody else's.
        OSError: with the name of ``folder`` where the system gives none, as for a full disk.
    """
    made = []
    for ancestor in (folder, *folder.parents):
        if ancestor.exists():
            break
        made.append(ancestor)
    staging = folder / f".{uuid.uuid4().hex[:8]}.part"
    try:
        staging.mkdir(parents=True)
        yield staging
        if listing is not None:
            _refuse_foreign(folder, staging, listing)
        for path in sorted(staging.iterdir()):
            path.replace(folder / path.name)
        staging.rmdir()
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        if isinstance(error, OSError) and (error.filename is None or str(staging) in str(error.filename)):
            error.filename = str(folder)
        raise


def _refuse_foreign(folder: Path, staging: Path, listing: str) -> None:
    """Refuse to replace files that are not listed as written before."""
    names = {path.name for path in staging.iterdir()}
    found = folder / listing
    lines = found.read_text(encoding="utf-8", errors="replace").splitlines() if found.is_file() else []
    own = {line.split(" ", 1)[0] for line in lines} | {listing}
    foreign = sorted(name for name in names - own if (folder / name).exists())
    if foreign:
        raise ConfigError(
            f"{folder / foreign[0]} exists and was not written by this command: give another folder with --out"
        )


def write(path: Path, data: bytes) -> None:
    """Write a file through to the disk, so that a full one is noticed before anything is renamed."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def wav(audio: Samples, sample_rate: int) -> bytes:
    """A mono WAV file of 32-bit floats: what lies beyond full scale is kept.

    Args:
        audio: shape ``[T]``.
        sample_rate: Hz.
    """
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, audio, sample_rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def mp3(audio: Samples, sample_rate: int) -> bytes:
    """A mono MP3 file, which every browser plays, at a quality of about 6 kB a second.

    Args:
        audio: shape ``[T]``, within +-1.
        sample_rate: Hz.
    """
    import soundfile

    file = io.BytesIO()
    soundfile.write(
        file, audio, sample_rate, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.2, bitrate_mode="VARIABLE"
    )
    return file.getvalue()
