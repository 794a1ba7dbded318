"""A rank's rows, and what became of its files, on the disk: a run that was killed goes on where it was.

The rows of a file count when the journal has its line, which is written after them. What stands behind the last such
row is cut off at the next start. A journal of other files, another encoder or other windows counts as none.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from train.embedding.decoding import Outcome

PARTS = ".audio.rank-*"


def rows_path(folder: Path, rank: int) -> Path:
    """Where a rank's rows lie until all ranks are done."""
    return folder / f".audio.rank-{rank}.rows"


def journal_path(folder: Path, rank: int) -> Path:
    """Where the outcomes of a rank's files lie: a line that describes the run, then one for each file, as JSON."""
    return folder / f".audio.rank-{rank}.journal"


def read_journal(folder: Path, rank: int, described: dict[str, Any]) -> list[Outcome]:
    """The outcomes of a rank's first files in a run like this one; empty where there was none."""
    try:
        lines = journal_path(folder, rank).read_text(encoding="utf-8").split("\n")
        if json.loads(lines[0]) != described:
            return []
        return [Outcome(**json.loads(line)) for line in lines[1:-1]]  # behind the last line break: half a line
    except (OSError, ValueError, TypeError):
        return []


def forget(folder: Path) -> None:
    """Remove what all ranks have left, also those of an earlier run with more of them."""
    for path in folder.glob(PARTS):
        path.unlink()


class Progress:
    """The rows that one rank writes, file after file.

    Args:
        folder: the feature folder, which is there.
        rank: this process.
        width: features per row.
        described: the run; JSON.

    Attributes:
        done: the outcomes of the files that count already.
        rows: rows on the disk.
    """

    def __init__(self, folder: Path, rank: int, width: int, described: dict[str, Any]) -> None:
        self._row_bytes = 4 * width
        self.done = read_journal(folder, rank, described)
        self.rows = sum(outcome.windows for outcome in self.done)
        path, journal = rows_path(folder, rank), journal_path(folder, rank)
        if not path.exists() or path.stat().st_size < self.rows * self._row_bytes:
            self.done, self.rows = [], 0
        lines = [described, *map(asdict, self.done)]
        # Written anew: the old one may end in half a line.
        journal.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        self._journal = journal.open("a", encoding="utf-8")
        self._file = path.open("ab")
        self.cut(self.rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._journal.close()

    def write(self, features: npt.NDArray[np.float32]) -> None:
        """Append rows ``[n, width]``."""
        self._file.write(np.ascontiguousarray(features, "<f4").data)
        self._file.flush()
        self.rows += len(features)

    def cut(self, rows: int) -> None:
        """Drop the rows behind the first ``rows``."""
        self._file.truncate(rows * self._row_bytes)
        self.rows = rows

    def settle(self, outcome: Outcome) -> None:
        """The next file counts from here on; its rows are written."""
        self._journal.write(json.dumps(asdict(outcome)) + "\n")
        self._journal.flush()
        self.done.append(outcome)
