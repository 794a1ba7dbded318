"""Tables of drawn parameters: as rows to look at or to log, and back again, exact to the bit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clmr.errors import ConfigError

Table = dict[str, Tensor]
"""Column ``<operation>.<parameter>`` -> one value per view, shape ``[N]``, on the host. Every operation has a bool
column ``<operation>.gate``: whether the row gets it."""

DTYPES = {bool: torch.bool, int: torch.int64, float: torch.float64}


def table_rows(table: Table) -> list[dict[str, Any]]:
    """One dict of plain numbers for each view; :func:`table_from_rows` undoes it."""
    columns = [values.tolist() for values in table.values()]
    return [dict(zip(table, row, strict=True)) for row in zip(*columns, strict=True)]


def table_from_rows(rows: Iterable[Mapping[str, Any]]) -> Table:
    """A table for :meth:`Chain.apply` from logged rows.

    Args:
        rows: as made by :func:`table_rows`, all of the same columns. Names without a dot, such as the ``track`` and
            ``view`` that the trainer logs beside them, are passed over.

    Raises:
        ConfigError: a row has other columns than the first, or a value of another type or beyond 64 bits.
    """
    columns: dict[str, list[Any]] = {}
    for number, row in enumerate(rows, start=1):
        parameters = {name: value for name, value in row.items() if "." in name}
        if number == 1:
            columns = {name: [] for name in parameters}
        if parameters.keys() != columns.keys():
            odd = min(parameters.keys() ^ columns.keys())
            raise ConfigError(f"row {number} of the table and its first row differ in columns: {odd}")
        for name, value in parameters.items():
            values = columns[name]
            if type(value) not in DTYPES or (values and type(value) is not type(values[0])):
                raise ConfigError(f"row {number} of the table: {name} = {value!r} is of another type than its column")
            if type(value) is int and not -(2**63) <= value < 2**63:
                raise ConfigError(f"row {number} of the table: {name} = {value} does not fit the 64 bits of an integer")
            values.append(value)
    return {name: torch.tensor(values, dtype=DTYPES[type(values[0])], device="cpu") for name, values in columns.items()}


def save_table(table: Table, path: Path | str) -> None:
    """Write a table as JSON lines, a view each; 17 digits hold a float64 exactly."""
    lines = (json.dumps(row) + "\n" for row in table_rows(table))
    Path(path).write_text("".join(lines), encoding="utf-8")


def load_table(path: Path | str, view: int | None = None) -> Table:
    """Read what :func:`save_table` or the trainer wrote.

    Args:
        path: of the file.
        view: only the rows that have this number as their ``view``, as the trainer's have; None takes all.

    Raises:
        ConfigError: the file is missing or holds something else; names the file and the line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a table of parameters: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path} line {number} is not JSON ({error}); each line must hold one row") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{path} line {number} is not a JSON object, which a row of a table is")
        if view is None or row.get("view") == view:
            rows.append(row)
    if not rows and view is not None:
        raise ConfigError(f"{path} has no row of view {view}")
    try:
        return table_from_rows(rows)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
