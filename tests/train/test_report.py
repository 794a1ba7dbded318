"""A run's summary and picture come from its own log."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.train.launching import SMALL
from train.pretrain import main as pretrain
from train.report import main
from train.runlog import RunLog, read_log


def test_summary_and_curve(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--shards", str(shards), "--run", str(tmp_path / "run"), *SMALL, "--steps", "12"]
    pretrain.main(arguments, standalone_mode=False)
    main.main(["--run", str(tmp_path / "run")], standalone_mode=False)
    printed = capsys.readouterr().out
    log = read_log(tmp_path / "run")
    assert "step 12 of 12" in printed
    assert f"{log[0]['loss']:.4f} -> {log[-1]['loss']:.4f}" in printed
    with Image.open(tmp_path / "run" / "loss.png") as picture:
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


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    with RunLog(tmp_path, start=0, total=1, active=False) as log:
        log.write({"step": 1, "loss": 0.0})
        log.advance()
    assert not list(tmp_path.iterdir())
