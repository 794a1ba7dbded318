"""The audio files of a folder tree, whatever state it is in."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

# Read by libsndfile, and some it does not read: those are attempted and counted as undecodable, not passed over.
AUDIO_EXTENSIONS = frozenset(
    {
        *(".mp3", ".ogg", ".oga", ".opus", ".flac", ".wav", ".wave", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
        *(".aac", ".ac3", ".ape", ".m4a", ".m4b", ".mka", ".mp2", ".mp4", ".mpc", ".wma", ".wv"),
    }
)
SLUG_CHARACTERS = 40
HASH_DIGITS = 10


@dataclass(frozen=True)
class Tree:
    """What lies below a folder. All paths are relative to it, with ``/``, in sorted order."""

    audio: tuple[str, ...]
    """Files that are audio by their extension, links that lead nowhere included."""
    others: tuple[str, ...]
    """Every other file."""
    closed: tuple[str, ...]
    """Folders that cannot be listed."""


def walk(root: Path) -> Tree:
    """List a tree, following symbolic links; every folder is listed once, so loops of links end.

    A folder that lies in the tree and is also linked to is listed under its own name.
    """
    audio: list[str] = []
    others: list[str] = []
    closed: list[str] = []
    listed: set[tuple[int, int]] = set()
    waiting: list[str] = [""]
    links: list[str] = []
    while waiting or links:
        if not waiting:  # folders of the tree first, then, in order, what links lead to
            links.sort(reverse=True)
            waiting.append(links.pop())
        folder = waiting.pop()
        try:
            status = (root / folder).stat()
            if (status.st_dev, status.st_ino) in listed:
                continue
            listed.add((status.st_dev, status.st_ino))
            with os.scandir(root / folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError:
            closed.append(folder)
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if _is_folder(entry):
                (links if entry.is_symlink() else waiting).append(name)
            elif Path(entry.name).suffix.lower() in AUDIO_EXTENSIONS:
                audio.append(name)
            else:
                others.append(name)
    return Tree(tuple(sorted(audio)), tuple(sorted(others)), tuple(sorted(closed)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def readable_name(relative: str) -> str:
    r"""A path as valid Unicode: bytes of a name that are not UTF-8 become ``\xNN``."""
    return os.fsencode(relative).decode("utf-8", "backslashreplace")


def make_key(relative: str) -> str:
    """A recording's name in the shards: what is readable of its own name, and a hash of its whole path.

    >>> make_key("disc 1/01. Für Elise.mp3")
    '01_fur_elise-70d9852369'
    """
    stem = unicodedata.normalize("NFKD", Path(readable_name(relative)).stem).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^0-9a-z-]+", "_", stem)[:SLUG_CHARACTERS].strip("_-")
    digest = hashlib.sha256(os.fsencode(relative)).hexdigest()[:HASH_DIGITS]
    return f"{slug}-{digest}" if slug else digest
