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

Samples = npt.NDArray[np.float32]


@contextmanager
def together(folder: Path) -> Iterator[Path]:
    """Give an empty folder within ``folder``; on success its files move up, on error nothing is left.

    Files of the same names are replaced, others stay. A folder that had to be made goes again when the work fails.

    Raises:
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
