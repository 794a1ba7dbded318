"""A run's summary and picture come from its own log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.train.launching import SMALL
from train.pretrain import main as pretrain
from train.report import main
from train.runlog import RunLog, read_log, read_probes


def test_summary_and_curve(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--shards", str(shards), "--run", str(tmp_path / "run"), *SMALL, "--steps", "12", "--probe-every", "2"]
    pretrain.main(arguments, standalone_mode=False)
    main.main(["--run", str(tmp_path / "run")], standalone_mode=False)
    printed = capsys.readouterr().out
    log = read_log(tmp_path / "run")
    assert "step 12 of 12" in printed
    assert f"{log[0]['loss']:.4f} -> {log[-1]['loss']:.4f}" in printed
    probes = read_probes(tmp_path / "run")
    assert f"tones: ROC-AUC {probes[0]['roc_auc']:.4f} at step 0 -> {probes[-1]['roc_auc']:.4f} at step 12" in printed
    assert f"uniformity {log[-1]['uniformity']:.3f}" in printed
    with Image.open(tmp_path / "run" / "loss.png") as picture:
        assert picture.width == pytest.approx(3 * 4.5 * 150, abs=2), "loss, accuracy and probe"
        colours = picture.convert("RGB").getcolors(picture.size[0] * picture.size[1])
    assert colours is not None
    assert len(colours) > 10, "the picture is blank"


def test_no_run_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--run", str(tmp_path)], standalone_mode=False)
    assert "is no run of train/pretrain.py" in capsys.readouterr().err


def test_log_is_cut_at_the_resumed_step(tmp_path: Path) -> None:
    numbers = {"loss": 1.0, "pairs_per_second": 1.0, "wait_share": 0.0}
    with RunLog(tmp_path, start=0, total=30, active=True) as log:
        for step in (10, 20, 30):
            log.write({"step": step, **numbers})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')  # what a kill -9 in the middle of a line leaves
    assert [entry["step"] for entry in read_log(tmp_path)] == [10, 20, 30]
    with RunLog(tmp_path, start=20, total=30, active=True) as log:
        log.write({"step": 30, **numbers})
    assert [entry["step"] for entry in read_log(tmp_path)] == [10, 20, 30]


@pytest.mark.parametrize("kind", [{}, {"kind": "cpc"}], ids=["earlier version", "cpc"])
def test_logs_without_geometry_and_probes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: dict[str, str]
) -> None:
    """Nor does the line of a run's first step know of waiting."""
    settings = {"shards": ["data"], "width": 16, "seed": 0}
    config = {"settings": settings, "tracks": 24, "sample_rate": 8000, "parameters": 9, "total_steps": 10} | kind
    (tmp_path / "config.json").write_text(json.dumps(config))
    line = {"step": 1, "epoch": 0, "loss": 2.5, "contrastive_accuracy": 0.5, "pairs_per_second": 7.0}
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n")
    main.main(["--run", str(tmp_path)], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "step 1 of 10" in printed
    assert "uniformity" not in printed
    with Image.open(tmp_path / "loss.png") as picture:
        assert picture.width == pytest.approx(2 * 4.5 * 150, abs=2)


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    with RunLog(tmp_path, start=0, total=1, active=False) as log:
        log.write({"step": 1, "loss": 0.0})
        log.advance()
    assert not list(tmp_path.iterdir())
