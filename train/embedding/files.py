"""The audio files that are to be embedded, and how ranks share them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clmr.errors import SourceError
from sharding.datasets.catalog import readable_name
from sharding.datasets.tree import walk
from sharding.storage import LocalPlace, Place


@dataclass(frozen=True)
class AudioFiles:
    """Files below one folder."""

    source: Place
    """The folder."""
    names: tuple[str, ...]
    """Relative to it, with ``/``, in sorted order; also folders in it that cannot be listed."""
    states: tuple[tuple[int, int], ...]
    """Bytes and time of change (ns) of each; zeros where there is none."""

    @property
    def readable(self) -> list[str]:
        r"""The names as valid Unicode: bytes that are not UTF-8 as ``\xNN``."""
        return [readable_name(name) for name in self.names]

    def share(self, rank: int, world_size: int) -> range:
        """The files of one rank: consecutive ones, with about the same number of bytes on every rank."""
        weight = np.array([size + 1 for size, _ in self.states], dtype=np.int64)
        # The file whose first byte is byte b of B goes to rank b W / B: ranks never decrease along the list.
        owner = (np.cumsum(weight) - weight) * world_size // max(1, int(weight.sum()))
        first, last = np.searchsorted(owner, [rank, rank + 1])
        return range(int(first), int(last))

    def part(self, numbers: range) -> tuple[list[str], list[int]]:
        """Names and bytes of some of the files."""
        return [self.names[number] for number in numbers], [self.states[number][0] for number in numbers]


def list_audio(path: Path) -> AudioFiles:
    """One file, whatever its name, or all files below a folder that are audio by their extension.

    Raises:
        SourceError: nothing is there, or no audio.
    """
    if not path.exists():
        raise SourceError(f"--audio {path} does not exist; give an audio file, or a folder of them")
    place = LocalPlace((path if path.is_dir() else path.parent).resolve())  # named alike from everywhere
    if not path.is_dir():
        return _listed(place, (path.name,))
    tree = walk(place)
    if "" in tree.closed:
        raise SourceError(f"--audio {path} cannot be listed: permission denied; change its mode or run as its owner")
    if not tree.audio and not tree.closed:
        raise SourceError(
            f"--audio {path} holds no audio among its {len(tree.others)} files; expected mp3, ogg, opus, flac, wav, "
            "m4a, aiff or au files, in any subfolders"
        )
    return _listed(place, tuple(sorted((*tree.audio, *tree.closed))))


def _listed(source: LocalPlace, names: tuple[str, ...]) -> AudioFiles:
    return AudioFiles(source, names, tuple(_state(source.root / name) for name in names))


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere; reading tells why
        return 0, 0
    return status.st_size, status.st_mtime_ns
