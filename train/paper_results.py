"""The scores that the paper prints, as data: train/paper_results.toml."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("paper_results.toml")
Key = str | int | float | bool


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    keys: dict[str, Key]
    """What names it: model, epochs ..."""
    scores: dict[str, float]
    """Column -> score in percent; columns without a number are left out."""


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper, or what its text says of a figure."""

    name: str
    """As the paper calls it: "Table 1", "Figure 5"."""
    title: str
    """What it is about."""
    rows: tuple[Row, ...]
    """In the order of print."""
    note: str = ""
    """Where numbers come from, and what does not agree."""
    best: dict[str, float] = field(default_factory=dict)
    """Figure 4: augmentation -> the probability that the text calls best."""

    def select(self, **keys: Key) -> list[Row]:
        """The rows with these keys."""
        return [row for row in self.rows if keys.items() <= row.keys.items()]

    def score(self, column: str, **keys: Key) -> float | None:
        """The one score of a column in the row with these keys, in percent; None where the paper prints none."""
        (row,) = self.select(**keys)
        return row.scores.get(column)


@functools.cache
def paper_tables() -> dict[str, PaperTable]:
    """All tables by their names."""
    content = tomllib.loads(RESULTS.read_text(encoding="utf-8"))
    return {table["name"]: _table(**table) for table in content["table"]}


def _table(keys: list[str], columns: list[str], rows: list[list[Any]], **rest: Any) -> PaperTable:
    parsed = []
    for row in rows:
        cells = dict(zip([*keys, *columns], row, strict=True))
        scores = {name: float(cells[name]) for name in columns if cells[name] != "-"}
        parsed.append(Row({name: cells[name] for name in keys}, scores))
    return PaperTable(rows=tuple(parsed), **rest)
