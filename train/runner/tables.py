"""The paper's tables and the trainings that make their rows; the numbers stand in train/paper_results.toml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from train.paper_results import Key, paper_tables

TAG = ("tag_roc_auc", "tag_pr_auc")
CLIP = ("clip_roc_auc", "clip_pr_auc")
MLP_TAG = ("mlp_tag_roc_auc", "mlp_tag_pr_auc")
MLP_CLIP = ("mlp_clip_roc_auc", "mlp_clip_pr_auc")
PROBABILITIES = (0.0, 0.4, 0.8, 1.0)
"""Of Figure 4, and that of Table 2."""


@dataclass(frozen=True)
class TableRow:
    """A row, from top to bottom as the paper has them."""

    label: str
    """Its first column."""
    training: str | None
    """Name of a recipe or of train/runner/baselines.py; None for works that are only cited."""
    dataset: str
    """What the encoder is probed on."""
    paper: Mapping[str, float]
    """What the paper prints, per cent, by column."""


@dataclass(frozen=True)
class ResultTable:
    """A table of the paper, to be filled."""

    name: str
    title: str
    first_column: str
    columns: tuple[str, ...]
    """In the words of train/paper_results.toml: ``mlp_`` of a hidden layer, tag or clip, metric."""
    rows: tuple[TableRow, ...]
    note: str = ""
    """Where the paper does not agree with itself."""


def _model(keys: Mapping[str, Key]) -> str | None:
    model, dataset = str(keys["model"]), str(keys.get("evaluated_on", keys.get("pretrained_on"))).lower()
    prefix = {"CLMR": "", "CPC": "cpc-", "SampleCNN": "supervised-"}.get(model)
    return None if prefix is None else prefix + dataset


def _table(
    name: str, first_column: str, columns: tuple[str, ...], training: Callable[[Mapping[str, Key]], str | None]
) -> ResultTable:
    paper = paper_tables()[name]
    rows = tuple(
        TableRow(
            label=", ".join(str(value) for value in row.keys.values() if not isinstance(value, bool)),
            training=training(row.keys),
            dataset=str(row.keys.get("evaluated_on", "mtat")).lower(),
            paper=row.scores,
        )
        for row in paper.rows
    )
    return ResultTable(name, paper.title, first_column, columns, rows, paper.note)


def _figure_4() -> ResultTable:
    """Its picture prints no scores; those at 0 and 1 are Table 2's."""
    paper = paper_tables()["Figure 4"]
    printed = {(row.keys["transform"], row.keys["probability"]): row.scores for row in paper.rows}
    rows = [
        TableRow(
            label=f"{transform}, {p}",
            training=f"table2-{str(transform).lower()}" if p == 1 else f"figure4-{str(transform).lower()}-{p}",
            dataset="mtat",
            paper=printed.get((transform, p), {}),
        )
        for transform in dict.fromkeys(row.keys["transform"] for row in paper.rows)
        for p in PROBABILITIES
    ]
    return ResultTable("Figure 4", paper.title, "Transform, probability", TAG[1:], tuple(rows), paper.note)


def _by_number(prefix: str, key: str) -> Callable[[Mapping[str, Key]], str]:
    return lambda keys: f"{prefix}-{keys[key]}"


_TABLES = (
    _table("Table 1", "Model, probed on", TAG + MLP_TAG, _model),
    _table("Table 2", "Transform", TAG + CLIP, lambda keys: f"table2-{str(keys['transform']).lower()}"),
    _table("Table 3", "Model, trained on", TAG + MLP_TAG, _model),
    _table("Table 4", "Batch size", TAG + CLIP, _by_number("table4-batch", "batch_size")),
    _table("Table 5", "Epochs", TAG + CLIP, _by_number("table5-epochs", "epochs")),
    _table("Table 6", "Sample rate, Hz", TAG + CLIP, _by_number("table6-rate", "sample_rate")),
    _figure_4(),
    _table("Table C.1", "Epochs", TAG + MLP_TAG + CLIP + MLP_CLIP, _by_number("table5-epochs", "epochs")),
)
TABLES = {table.name: table for table in _TABLES}

IN_ORDER = tuple(dict.fromkeys(row.training for table in _TABLES for row in table.rows if row.training))
"""Every training of the paper once. Of recipes that are the same training the first here is the one that is run."""
