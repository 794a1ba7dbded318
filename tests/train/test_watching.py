"""What a run shows of itself: complete lines, no checkpoint ahead of them, and curves that survive a kill -9."""

from __future__ import annotations

import math
import resource
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.train.launching import SMALL, environment, newest, program
from train.pretrain import main
from train.runs import checkpoint
from train.runs.checkpoint import checkpoint_path, checkpoints
from train.runs.log import RunLog, read_log, read_probes

TIMING = ("second", "wait", "memory", "loader/")  # in the names of what differs between equal runs


def arguments(shards: Path, out: Path, *options: str) -> list[str]:
    return ["--shards", str(shards), "--run", str(out), *SMALL, "--augment", "crop", "--no-ceilings", *options]


def reproducible(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: v for name, v in entry.items() if not any(word in name for word in TIMING)} for entry in entries]


def board(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows: tag -> (step, value)."""
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_every_line_is_whole_and_written_before_its_checkpoint(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: dict[int, list[int]] = {}
    save = checkpoint.save

    def watched(run: Path, step: int, state: dict[str, Any]) -> Path:
        saved[step] = [entry["step"] for entry in read_log(run)]
        return save(run, step, state)

    monkeypatch.setattr(checkpoint, "save", watched)
    main.main(arguments(shards, tmp_path, "--steps", "23", "--checkpoint-every", "11"), standalone_mode=False)
    assert saved == {0: [], 11: [10], 22: [10, 20], 23: [10, 20, 23]}
    log = read_log(tmp_path)
    scalars = {"loss", "contrastive_accuracy", "alignment", "uniformity", "gradient_norm", "learning_rate"}
    speed = {"pairs_per_second", "wait_share", "memory_gib"}
    for entry in log:
        assert {"step", "epoch"} | scalars | speed <= entry.keys()
        assert all(math.isfinite(value) for value in entry.values())
        assert 0 <= entry["alignment"] <= 4
        assert -8 <= entry["uniformity"] <= 0
        assert entry["learning_rate"] == 3e-4
    shown = board(tmp_path)
    assert {"task/loss", "geometry/uniformity", "optimizer/gradient_norm", "speed/wait_share"} <= shown.keys()
    assert [step for step, _ in shown["task/loss"]] == [entry["step"] for entry in log]
    assert [loss for _, loss in shown["task/loss"]] == pytest.approx([entry["loss"] for entry in log])


def test_a_loss_that_is_read_late_still_ends_the_run(
    shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is seen five steps later, or before the next checkpoint, whose weights are none to keep."""
    steps = ["--steps", "100", "--learning-rate", "1e30"]
    with pytest.raises(SystemExit):
        main.main(arguments(shards, tmp_path, *steps), standalone_mode=False)
    assert "the loss is nan at step 10: lower --learning-rate" in capfd.readouterr().err
    assert checkpoints(tmp_path) == [checkpoint_path(tmp_path, 0)]
    assert not read_log(tmp_path)


def test_curves_have_no_seam_after_a_kill_9(shards: Path, tmp_path: Path) -> None:
    options = ["--steps", "24", "--checkpoint-every", "3", "--probe-every", "3"]
    main.main(arguments(shards, tmp_path / "whole", *options), standalone_mode=False)
    command = program("pretrain.py", arguments(shards, tmp_path / "killed", *options))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    while not checkpoint_path(tmp_path / "killed", 12).exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert newest(tmp_path / "killed")["step"] < 24, "it was killed too late to show anything"
    main.main(arguments(shards, tmp_path / "killed", *options), standalone_mode=False)
    ours, theirs = (tmp_path / name for name in ("killed", "whole"))
    assert reproducible(read_log(ours)) == reproducible(read_log(theirs))
    assert reproducible(read_probes(ours)) == reproducible(read_probes(theirs))
    assert [entry["step"] for entry in read_probes(ours)] == [0, 9, 18, 24]
    first, second = board(ours), board(theirs)
    for tag in ("task/loss", "geometry/alignment", "probe/roc_auc", "probe/pr_auc"):
        assert first[tag] == second[tag]


def fill(run: Path, most: int) -> None:
    with RunLog(run, start=0, total=2, active=True) as log:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, most))
        for step in range(200):
            log.scalars({"loss": 0.5}, step)
        log.settle()


def test_a_full_disk_is_one_error_that_names_the_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Full for TensorBoard's numbers, which a thread of its own writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OSError, match=f"File too large: '{tmp_path}/tensorboard'"):
            fill(tmp_path, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "Traceback" not in capfd.readouterr().err


def test_units_and_titles(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with RunLog(tmp_path, start=0, total=2, active=True, title="supervised", unit="windows") as log:
        log.write({"step": 1, "loss": 0.5, "windows_per_second": 12.0})
        log.write({"step": 1, "validation_roc_auc": 0.75})
        log.say("by the way")
        log.advance()
    said = capfd.readouterr().err
    assert "supervised" in said
    assert "12 windows/s" in said
    assert "by the way\n" in said
    assert board(tmp_path)["validation/roc_auc"] == [(1, 0.75)]
