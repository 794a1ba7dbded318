"""Pretraining that is killed, stopped or finds damaged checkpoints goes on as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from tests.train.launching import SMALL, environment, flat, newest, program
from train.pretrain import main
from train.runs.checkpoint import checkpoint_path, checkpoints, load
from train.runs.log import read_log


def pretrain(shards: Path, out: Path, *options: str) -> None:
    """Train in this process."""
    main.main(["--shards", str(shards), "--run", str(out), *SMALL, *options], standalone_mode=False)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a file exists, as long as the process lives."""
    for _ in range(6000):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    pytest.fail(f"{path} never appeared")


def start(shards: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = program("pretrain.py", ["--shards", str(shards), "--run", str(out), *SMALL, *options])
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())


@pytest.mark.parametrize(("after", "pause"), [(3, 0.0), (15, 0.013)])
def test_kill_9_costs_nothing(shards: Path, tmp_path: Path, after: int, pause: float) -> None:
    options = ["--steps", "40", "--checkpoint-every", "3"]
    pretrain(shards, tmp_path / "whole", *options)
    process = start(shards, tmp_path / "killed", *options)
    wait_for(checkpoint_path(tmp_path / "killed", after), process)
    time.sleep(pause)
    process.kill()
    process.communicate()
    assert load(checkpoints(tmp_path / "killed")[-1])["step"] < 40, "it was killed too late to show anything"
    again = start(shards, tmp_path / "killed", *options)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    whole, resumed = flat(newest(tmp_path / "whole")), flat(newest(tmp_path / "killed"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert [entry["step"] for entry in read_log(tmp_path / "killed")] == [10, 20, 30, 40]
    assert [entry["loss"] for entry in read_log(tmp_path / "killed")] == [
        entry["loss"] for entry in read_log(tmp_path / "whole")
    ]


@pytest.mark.parametrize(
    ("number", "after"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGINT, 4), (signal.SIGUSR1, 4)]
)
def test_a_signal_ends_it_after_a_checkpoint(shards: Path, tmp_path: Path, number: signal.Signals, after: int) -> None:
    process = start(shards, tmp_path / "run", "--steps", "100000", "--checkpoint-every", "2")
    wait_for(checkpoint_path(tmp_path / "run", after), process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 0)
    assert "Traceback" not in errors
    step = newest(tmp_path / "run")["step"]
    assert f"stopped at step {step} of 100000" in output
    pretrain(shards, tmp_path / "run", "--steps", str(step + 3))
    assert newest(tmp_path / "run")["step"] == step + 3


def test_signal_to_torchrun_stops_every_rank_at_one_step(shards: Path, tmp_path: Path) -> None:
    arguments = ["--shards", str(shards), "--run", str(tmp_path / "run"), *SMALL, "--steps", "100000"]
    command = program("pretrain.py", [*arguments, "--checkpoint-every", "2"], ["--standalone", "--nproc-per-node", "2"])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    wait_for(checkpoint_path(tmp_path / "run", 4), process)
    process.terminate()
    output, errors = process.communicate(timeout=60)
    assert f"stopped at step {newest(tmp_path / 'run')['step']} of 100000" in output, errors


def test_damaged_checkpoint_is_named_and_passed_over(
    shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pretrain(shards, tmp_path / "whole", "--steps", "8")
    pretrain(shards, tmp_path / "run", "--steps", "6", "--checkpoint-every", "3")
    broken = checkpoint_path(tmp_path / "run", 6)
    broken.write_bytes(broken.read_bytes()[:1000])
    pretrain(shards, tmp_path / "run", "--steps", "8", "--checkpoint-every", "3")
    assert str(broken) in capfd.readouterr().err
    whole, run_state = flat(newest(tmp_path / "whole")), flat(newest(tmp_path / "run"))
    assert all(torch.equal(whole[name], run_state[name]) for name in whole)


def test_damaged_checkpoints_never_displace_good_ones(shards: Path, tmp_path: Path) -> None:
    pretrain(shards, tmp_path, "--steps", "9", "--checkpoint-every", "3")
    for step in (6, 9):
        content = bytearray(checkpoint_path(tmp_path, step).read_bytes())
        middle = len(content) // 2
        content[middle : middle + 500] = bytes(500)  # padding and weights
        checkpoint_path(tmp_path, step).write_bytes(content)
    mine = checkpoint_path(tmp_path, 9).with_name("step-00000009-mine.pt")
    mine.write_bytes(b"the user's own")
    pretrain(shards, tmp_path, "--steps", "4", "--checkpoint-every", "2")
    assert [load(path)["step"] for path in checkpoints(tmp_path)] == [0, 2, 4]
    assert len(list((tmp_path / "checkpoints").glob("*.damaged"))) == 2
    assert mine.exists()


def test_only_damaged_checkpoints_is_an_error(shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pretrain(shards, tmp_path, "--steps", "2")
    for path in checkpoints(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(SystemExit):
        pretrain(shards, tmp_path, "--steps", "4")
    assert "none of its 2 checkpoints can be read" in capfd.readouterr().err
