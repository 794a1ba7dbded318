"""The paper's tables with its numbers beside ours, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clmr.errors import ClmrError
from train.runner.choice import same_trainings, training_of
from train.runner.results import Found, lines_by_protocol, result_of
from train.runner.tables import ResultTable, TableRow
from train.spread import Spread

NOT_RUN = "not run"
CITED = "cited"
HEADINGS = {
    "tag": "tag",
    "clip": "clip",
    "mlp_tag": "tag, MLP",
    "mlp_clip": "clip, MLP",
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
}


def in_percent(spread: Spread) -> str:
    """A score in per cent, as the paper prints it, with its spread where it has one."""
    deviation = "" if spread.deviation is None else f" +- {100 * spread.deviation:.2f}"
    return f"{100 * spread.mean:.2f}{deviation}"


def _without(training: str | None, column: str) -> str:
    """What stands in a cell without a score."""
    if training is None:
        return CITED
    return "-" if training.startswith("supervised") and column.startswith("mlp") else NOT_RUN


def heading(column: str) -> str:
    """``mlp_tag_pr_auc`` in words."""
    for metric in ("roc_auc", "pr_auc"):
        if column.endswith(metric):
            return f"{HEADINGS[metric]} {HEADINGS[column.removesuffix('_' + metric)]}"
    raise KeyError(column)


def grid(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first line is the heading."""
    head, *rest = [
        "| " + " | ".join(" ".join(text.split()).replace("|", "\\|") for text in line) + " |" for line in lines
    ]
    rule = "|" + "|".join("---" if text in {lines[0][0], "note"} else "---:" for text in lines[0]) + "|"
    return "\n".join([head, rule, *rest])


def find(row: TableRow, out: Path, preset: str) -> tuple[Found | None, str]:
    """What there is of a row, and what is to be said of it."""
    if row.training is None:
        return None, ""
    name = same_trainings().get(row.training, row.training)
    training = training_of(name)
    shared = f"trained as {name}" if name != row.training else ""
    try:
        found = result_of(training, out / name, row.dataset, preset)
    except ClmrError as error:
        return None, " ".join(str(error).split())
    differs = f"not the paper's: {', '.join(found.differs)}" if found and found.differs else ""
    unfinished = "unfinished" if found and found.unfinished else ""
    return found, "; ".join(text for text in (differs, unfinished, shared, training.note or "") if text)


def fill(table: ResultTable, out: Path, preset: str) -> dict[str, Any]:
    """A table with what the folders of ``out`` hold, for JSON."""
    rows, protocols = [], []
    for row in table.rows:
        found, note = find(row, out, preset)
        if found is not None:
            protocols.append((row.label, found))
        cells = {
            column: {
                "paper": row.paper.get(column),
                "ours": asdict(found.scores[column]) if found and column in found.scores else None,
            }
            for column in table.columns
        }
        rows.append(
            {
                "label": row.label,
                "training": row.training,
                "cells": cells,
                "differs": list(found.differs) if found else [],
                "note": note,
            }
        )
    return {
        "table": table.name,
        "title": table.title,
        "preset": preset,
        "protocol": lines_by_protocol(protocols),
        "note": " ".join(table.note.split()),
        "rows": rows,
    }


def markdown(table: ResultTable, filled: dict[str, Any]) -> str:
    """A filled table as Markdown: per cent, the paper's number and ours side by side."""
    columns = table.columns
    heads = [text for column in columns for text in (f"{heading(column)}: paper", "ours")]
    lines = [[table.first_column, *heads, "note"]]
    for row in filled["rows"]:
        line = [row["label"]]
        for column in columns:
            paper, ours = row["cells"][column]["paper"], row["cells"][column]["ours"]
            line.append("-" if paper is None else str(paper))
            line.append(in_percent(Spread(**ours)) if ours else _without(row["training"], column))
        lines.append([*line, row["note"]])
    nothing = f"Nothing of it was probed with preset {filled['preset']}."
    protocol = [f"Protocol: {line}." for line in filled["protocol"]] or [nothing]
    note = [f"The paper: {filled['note']}."] if filled["note"] else []
    return "\n\n".join([f"## {table.name}: {table.title}", grid(lines), *protocol, *note])
