"""The command: a figure for each name, one line for each mistake."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.figures.made_up import check_written, write_features, write_scores
from train.figures.__main__ import main
from train.figures.style import spread_out


def test_every_figure_of_scores_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probe, out = write_scores(tmp_path / "probe", [(0.8, 0.3), (0.9, 0.4)]), str(tmp_path / "out")
    for name, arguments in {
        "tags": [f"--probe=ours={probe}"],
        "labels": [f"--probe=ours={probe}", "--metric", "tag.roc_auc"],
        "epochs": [f"--probe=100={probe}"],
        "parameters": [f"--probe=ours={probe}", "--parameters", "ours=2368512"],
        "probability": [f"--probe=gain=0.4={probe}"],
        "tsne": [f"--features=ours={write_features(tmp_path / 'features')}", "--tracks", "4"],
    }.items():
        main.main([name, *arguments, "--out", out], standalone_mode=False)
        assert check_written(tmp_path / "out", name)["rows"]
        assert f"{out}: " in capsys.readouterr().out


def test_filters_of_a_run(tmp_path: Path) -> None:
    import torch

    from clmr import SampleCNN

    file = tmp_path / "run" / "checkpoints" / "step-00000001.pt"
    file.parent.mkdir(parents=True)
    state = {f"encoder.{name}": value for name, value in SampleCNN(8000, 16).state_dict().items()}
    torch.save({"step": 1, "model": state, "encoder_config": {"sample_rate": 8000, "width": 16}}, file)
    arguments = ["--out", str(tmp_path / "out"), "--layer", "2", "--steps", "2", "--device", "cpu"]
    main.main(["filters", "--run", str(tmp_path / "run"), *arguments], standalone_mode=False)
    assert str(file) in check_written(tmp_path / "out", "filters", svg=False)["title"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tags", "--probe", "ours"], "error: --probe ours: write it as --probe NAME=DIR"),
        (["tags", "--probe", "ours=nowhere"], "error: nowhere/scores.json is missing: score there first"),
        (["tags", "--probe", "ours=damaged"], "error: damaged/scores.json is damaged"),
        (["labels", "--probe", "ours=empty"], "error: empty/scores.json is damaged: no scores in it"),
        (["labels", "--probe", "ours=good", "--metric", "accuracy"], "error: good/scores.json holds no accuracy"),
        (["labels", "--probe", "ours=share"], "error: share/scores.json: a share of the labels of 0 is none"),
        (["epochs", "--probe", "many=good"], "error: --probe many=good: 'many' is no number of 0 or more"),
        (["epochs", "--run", "ours=good"], "error: good/probe.jsonl holds no tag.pr_auc"),
        (["probability", "--probe", "gain=2=good"], "error: --probe gain=2=good: '2' is no number of 0 to 1"),
        (
            ["parameters", "--probe", "ours=good", "--parameters", "ours=inf"],
            "error: --parameters ours=inf: 'inf' is no",
        ),
        (["parameters", "--probe", "ours=good", "--parameters", "own=9"], "error: --parameters own=COUNT: no --probe"),
        (["tsne", "--features", "ours=good"], "error: good/features.json is missing"),
        (["filters"], "error: give --run or --checkpoint, one of the two"),
        (["filters", "--run", "good"], "error: good holds no checkpoint"),
    ],
)
def test_mistakes_get_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_scores(Path("good"), [(0.8, 0.3)])
    write_scores(Path("share"), [(0.8, 0.3)], label_fraction=0)
    for name, content in (("damaged", '{"protocol": {'), ("empty", json.dumps({"protocol": {}, "test": []}))):
        Path(name).mkdir()
        Path(name, "scores.json").write_text(content)
    with pytest.raises(SystemExit) as ended:
        main.main([*arguments, "--out", "out"], standalone_mode=False)
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert printed.startswith(message)
    assert printed.count("\n") == 1


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(0.1, 3)), min_size=1, max_size=8))
def test_labels_do_not_touch_and_stay_where_they_may(wished: list[tuple[float, float]]) -> None:
    heights, sizes = [height for height, _ in wished], [size for _, size in wished]
    moved = spread_out(heights, sizes)
    order = sorted(range(len(moved)), key=lambda index: heights[index])
    for one, other in itertools.pairwise(order):
        assert moved[other] - moved[one] >= (sizes[one] + sizes[other]) / 2 - 1e-9
    gaps = [heights[b] - heights[a] - (sizes[a] + sizes[b]) / 2 for a, b in itertools.pairwise(order)]
    if all(gap >= 0 for gap in gaps):
        assert moved == pytest.approx(heights)
