"""What the tables read of scores.json: damaged files are named, and scores of an earlier checkpoint are told of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clmr.errors import FeatureError
from train.runner.page import grid
from train.runner.results import earlier, read_scores

PROTOCOL: dict[str, Any] = {
    "dataset": "mtat",
    "sample_rate": 22050,
    "tracks": {"train": 3, "valid": 2, "test": 2},
    "untagged": "included",
    "preset": "fast",
    "head": {"kind": "linear", "solver": "lbfgs"},
    "seeds": [0],
    "aggregation": "mean",
    "selection": "L2 strength",
    "encoder": "runs/a/checkpoints/step-00000006.pt",
}
HEAD = {"tag": {"roc_auc": 0.9, "pr_auc": 0.4}, "item": {"roc_auc": None, "pr_auc": None}}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"protocol": {}}',
        json.dumps({"protocol": {}, "test": [HEAD]}),
        json.dumps({"protocol": PROTOCOL, "test": []}),
        json.dumps({"protocol": PROTOCOL, "test": "many"}),
        json.dumps({"protocol": PROTOCOL, "test": [{**HEAD, "tag": {"roc_auc": "high"}}]}),
    ],
)
def test_damaged_scores_are_named_with_the_way_out(tmp_path: Path, content: str) -> None:
    (tmp_path / "scores.json").write_text(content)
    with pytest.raises(FeatureError, match=r"scores\.json is damaged.*; remove it and run the plan again") as refused:
        read_scores(tmp_path)
    assert "\n" not in str(refused.value)


def test_whole_scores_are_read(tmp_path: Path) -> None:
    content = {"protocol": PROTOCOL, "test": [HEAD]}
    (tmp_path / "scores.json").write_text(json.dumps(content))
    assert read_scores(tmp_path) == content
    assert read_scores(tmp_path / "elsewhere") is None


def test_scores_of_an_earlier_checkpoint_are_told_of() -> None:
    contents = [{"protocol": PROTOCOL}, {"protocol": PROTOCOL}]
    assert earlier(contents, Path("run/checkpoints/step-00000006.pt"), 6) == []
    assert earlier(contents, Path("run/checkpoints/step-00000008.pt"), 8) == ["scored at step 6 of 8"]
    assert earlier([{"protocol": {"seed": 0}}], Path("step-00000008.pt"), 8) == []  # a supervised network's


def test_a_cell_cannot_break_the_table() -> None:
    assert grid([["a", "note"], ["x|y", "two\nlines"]]).split("\n")[2] == r"| x\|y | two lines |"
