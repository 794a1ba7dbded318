"""Rows of the CSV and TSV files that data sets come with, one at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from clmr.errors import SourceError

LONGEST_CELL = 1 << 24  # characters; Python's own limit of 131,072 is too low for biographies


def read_rows(data: bytes, where: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank.

    Args:
        data: the file, UTF-8.
        where: its address, for messages.
        delimiter: between cells.

    Raises:
        SourceError: names the line that is not UTF-8 or not CSV.
    """
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(LONGEST_CELL)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise SourceError(f"{where} after line {reader.line_num}: not UTF-8; download it again") from error
    except csv.Error as error:
        raise SourceError(f"{where} line {reader.line_num}: {error}; download it again") from error
    finally:
        csv.field_size_limit(limit)


def column(header: Sequence[str], name: str, where: str) -> int:
    """Where a column stands.

    Raises:
        SourceError: there is no such column.
    """
    if name not in header:
        few = ", ".join(header[:5])
        raise SourceError(f"{where} line 1: no column {name} among {len(header)} ({few} ...); download it again")
    return header.index(name)


def check_width(cells: Sequence[object], header: Sequence[object], where: str, line: int) -> None:
    """Refuse a row that is cut off, as the last one of a half-finished download is.

    Raises:
        SourceError: names the line.
    """
    if len(cells) != len(header):
        raise SourceError(
            f"{where} line {line}: {len(cells)} cells under {len(header)} columns, as in a half-finished download; "
            f"download it again"
        )
