"""``labels.csv``: what a folder says of its recordings.

    path,tags,split,song_id
    blues/01.mp3,guitar;slow,train,song-1
    rock/02.ogg,drums;fast,test,song-2

Only ``path`` (below the folder) is required. Tags are separated by ``;``. Splits are train, valid and test. Recordings
with the same song_id are versions or parts of one song, and stand in one split.
"""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from clmr.errors import SourceError
from sharding.format import SPLITS

COLUMNS = ("path", "tags", "split", "song_id")
TAG_SEPARATOR = ";"


@dataclass(frozen=True)
class LabelRow:
    """One row of ``labels.csv``."""

    tags: frozenset[str]
    split: str | None
    """None where the file has no such column."""
    song_id: str | None
    """None where the file has no such column, or the row no value."""


@dataclass(frozen=True)
class Labels:
    """All of ``labels.csv``."""

    rows: dict[str, LabelRow]
    """By path below the folder, normalised, with ``/``."""
    has_splits: bool


def read_labels(data: bytes, path: str) -> Labels:
    """Check the bytes of a ``labels.csv``; ``path`` names it in errors.

    Raises:
        SourceError: names the line and what is wrong with it.
    """
    rows: dict[str, LabelRow] = {}
    splits: dict[str, tuple[str | None, int]] = {}  # by song: its split, and the line that said so
    lines = _lines(data, path)
    _, header = next(lines, (1, []))
    columns = _columns(header, path)
    for number, cells in lines:
        where = f"{path} line {number}"
        if len(cells) != len(columns):
            raise SourceError(f"{where}: {len(cells)} cells under {len(columns)} columns; quote cells with commas")
        row = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
        name = _relative(row["path"], where)
        if name in rows:
            raise SourceError(f"{where}: {name} has a row already; merge the two")
        if "split" in row and row["split"] not in SPLITS:
            raise SourceError(f"{where}: split is {row['split']!r}, not one of {', '.join(SPLITS)}")
        song = row.get("song_id") or name
        split, first = splits.setdefault(song, (row.get("split"), number))
        if row.get("split") != split:
            raise SourceError(
                f"{where}: song {song} is in split {row['split']}, but in {split} on line {first}; "
                f"give all recordings of a song one split"
            )
        tags = (tag.strip() for tag in row.get("tags", "").split(TAG_SEPARATOR))
        rows[name] = LabelRow(frozenset(filter(None, tags)), row.get("split"), row.get("song_id") or None)
    return Labels(rows, has_splits="split" in columns)


def _columns(header: list[str], path: str) -> list[str]:
    """The checked names of the columns."""
    columns = [name.strip().lower() for name in header]
    for separator in (";", "\t"):
        if any(separator in name for name in columns):
            raise SourceError(f"{path} line 1: separate columns by commas, not by {separator!r}")
    if "path" not in columns:
        raise SourceError(f"{path} line 1: no column named path; it has {', '.join(columns) or 'no columns at all'}")
    for name in columns:
        if name not in COLUMNS or columns.count(name) > 1:
            wrong = "twice the column" if name in COLUMNS else "unknown column"
            raise SourceError(f"{path} line 1: {wrong} {name!r}; allowed are {', '.join(COLUMNS)}, each once")
    return columns


def _lines(data: bytes, path: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(f"{path} line {line}: not UTF-8 ({error.reason}); save the file as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise SourceError(f"{path} line {reader.line_num}: not CSV ({error})") from error


def _relative(name: str, where: str) -> str:
    if not name:
        raise SourceError(f"{where}: the path is empty")
    normal = posixpath.normpath(name)
    if normal.startswith(("/", "../")) or normal in {".", ".."}:
        raise SourceError(f"{where}: {name} does not lie below the folder; give paths relative to labels.csv")
    return normal
