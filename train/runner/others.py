"""What a plan's folders hold beside the paper's rows: recipes of the user's own, and other data sets (transfer)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clmr.errors import ResumeError
from train.runner.choice import same_trainings
from train.runner.page import grid, heading, in_percent
from train.runner.results import PREFIXES, columns_of, protocol_of, read_scores
from train.runner.tables import CLIP, MLP_TAG, TABLES, TAG
from train.settings import read_config
from train.spread import Spread

COLUMNS = (*TAG, *MLP_TAG, *CLIP, "accuracy")


def papers_rows() -> set[tuple[str, str]]:
    """Folder and data set of every row of the paper."""
    same = same_trainings()
    return {
        (same.get(row.training, row.training), row.dataset)
        for table in TABLES.values()
        for row in table.rows
        if row.training is not None
    }


def scored_folders(out: Path) -> Iterable[tuple[str, Path]]:
    """Name and folder of every encoder's data set that is no row of the paper."""
    rows = papers_rows()
    for folder in sorted(out.glob("*/probe/*")):
        name = folder.parents[1].name
        try:
            rate = read_config(folder.parents[1] / "run")["settings"].get("sample_rate")
        except ResumeError:
            rate = None
        dataset = folder.name if rate in {None, 22050} else folder.name.removesuffix(f"-{rate}")
        if folder.is_dir() and (name, dataset) not in rows:
            yield f"{name}, {folder.name}", folder


def other_rows(out: Path, preset: str) -> list[dict[str, Any]]:
    """Scores of what is no row of the paper, for JSON."""
    return [row for label, folder in scored_folders(out) if (row := row_of(label, folder, preset)) is not None]


def row_of(label: str, folder: Path, preset: str) -> dict[str, Any] | None:
    """The scores of the folders PRESET-HEAD in ``folder``; None where there are none."""
    contents = {prefix: read_scores(folder / f"{preset}-{head}") for prefix, head in PREFIXES.items()}
    there = {prefix: content for prefix, content in contents.items() if content is not None}
    if not there:
        return None
    found = dict(each for prefix, content in there.items() for each in columns_of(content, prefix).items())
    cells = {name: asdict(found[name]) for name in COLUMNS if name in found}
    return {"label": label, "cells": cells, "protocol": [protocol_of(each) for each in there.values()]}


def markdown(title: str, rows: list[dict[str, Any]]) -> str:
    """The rows as a table with their protocols."""
    columns = [name for name in COLUMNS if any(name in row["cells"] for row in rows)]
    lines = [["training, probed on", *("accuracy" if name == "accuracy" else heading(name) for name in columns)]]
    for row in rows:
        cells = [row["cells"].get(name) for name in columns]
        lines.append([row["label"], *("-" if cell is None else in_percent(Spread(**cell)) for cell in cells)])
    protocols = dict.fromkeys(line for row in rows for line in row["protocol"])
    return "\n\n".join([f"## {title}", grid(lines), *(f"Protocol: {line}." for line in protocols)])
