"""Pretraining as a user runs it: any number of processes, any kind of death, one result."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sharding.publish import claimed
from tests.train.launching import LAUNCHER, ROOT, SMALL, environment, flat, free_port, newest, program, run
from train.pretrain import main
from train.runs.checkpoint import checkpoint_path, checkpoints, load
from train.runs.log import read_log

# float64 after several steps: rounding of other orders of summation, raised by Adam, which divides by small gradients.
EXACT = 1e-8


def pretrain(shards: Path, out: Path, *options: str) -> None:
    """Train in this process."""
    main.main(["--shards", str(shards), "--run", str(out), *SMALL, *options], standalone_mode=False)


def difference(one: Path, other: Path) -> float:
    """Largest difference between two runs' newest weights and Adam moments, relative to each tensor's largest value.

    Adam's first moment is linear in the gradients: a wrong factor shows there even where Adam's steps hide it. Values
    below 1e-3 count as 1e-3: a convolution's bias before batch norm has no gradient but rounding.
    """
    a, b = (flat({"model": state["model"], "optimizer": state["optimizer"]}) for state in (newest(one), newest(other)))
    assert a.keys() == b.keys()
    return max(
        float((a[name].double() - b[name].double()).abs().max() / a[name].double().abs().max().clamp_min(1e-3))
        for name in a
    )


@pytest.fixture(scope="module")
def alone(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five float64 steps in one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    pretrain(shards, out, "--steps", "5", "--precision", "float64")
    return out


def five_steps(shards: Path, out: Path) -> list[str]:
    """The options of the run that ``alone`` made in one process."""
    return ["--shards", str(shards), "--run", str(out), *SMALL, "--steps", "5", "--precision", "float64"]


def test_two_processes_equal_one(shards: Path, alone: Path, tmp_path: Path) -> None:
    done = run(program("pretrain.py", five_steps(shards, tmp_path / "run"), ["--standalone", "--nproc-per-node", "2"]))
    assert done.returncode == 0, done.stderr
    assert newest(tmp_path / "run")["step"] == 5
    assert difference(alone, tmp_path / "run") < EXACT
    assert read_log(tmp_path / "run")[-1]["loss"] == pytest.approx(read_log(alone)[-1]["loss"], rel=EXACT)


def test_two_nodes_equal_one_process(shards: Path, alone: Path, tmp_path: Path) -> None:
    """Two torchrun agents that meet on a loopback port, as two nodes would."""
    meeting = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "pair"]
    meeting += ["--rdzv-endpoint", f"127.0.0.1:{free_port()}"]
    command = program("pretrain.py", five_steps(shards, tmp_path / "run"), meeting)
    agents = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())
        for _ in range(2)
    ]
    outputs = [agent.communicate(timeout=300)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], outputs
    assert difference(alone, tmp_path / "run") < EXACT


def test_goes_on_at_another_number_of_processes(shards: Path, alone: Path, tmp_path: Path) -> None:
    common = ["--shards", str(shards), "--run", str(tmp_path / "run"), *SMALL, "--precision", "float64"]
    main.main([*common, "--steps", "2"], standalone_mode=False)
    done = run(program("pretrain.py", [*common, "--steps", "5"], ["--standalone", "--nproc-per-node", "2"]))
    assert done.returncode == 0, done.stderr
    assert difference(alone, tmp_path / "run") < EXACT


def test_the_first_ranks_checkpoint_counts(shards: Path, alone: Path, tmp_path: Path) -> None:
    """Two ranks with run folders of their own, as on nodes with local disks: both go on from the first one's."""
    common = ["--shards", str(shards), *SMALL, "--precision", "float64"]
    main.main([*common, "--run", str(tmp_path / "run-0"), "--steps", "2"], standalone_mode=False)
    script = tmp_path / "each.sh"
    words = " ".join([*common, "--steps", "5"])
    script.write_text(f"exec {sys.executable} {ROOT}/train/pretrain.py --run {tmp_path}/run-$RANK {words}\n")
    done = run([*LAUNCHER, "--standalone", "--nproc-per-node", "2", "--no-python", "--", "sh", str(script)])
    assert done.returncode == 0, done.stderr
    assert difference(alone, tmp_path / "run-0") < EXACT
    assert not (tmp_path / "run-1" / "checkpoints").exists()


def test_ranks_with_other_shards_are_refused(shards: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(shards, other)
    manifest = json.loads((other / "manifest.json").read_text(encoding="utf-8"))
    manifest["splits"]["train"][0]["sha256"] = "0" * 64
    (other / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (tmp_path / "shards-0").symlink_to(shards)
    (tmp_path / "shards-1").symlink_to(other)
    script = tmp_path / "each.sh"
    words = " ".join([*SMALL, "--steps", "2", "--run", str(tmp_path / "run")])
    script.write_text(f"exec {sys.executable} {ROOT}/train/pretrain.py --shards {tmp_path}/shards-$RANK {words}\n")
    done = run([*LAUNCHER, "--standalone", "--nproc-per-node", "2", "--no-python", "--", "sh", str(script)])
    assert done.returncode != 0
    assert "this rank's shards are not the first rank's" in done.stderr
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_diverged_run_stops_and_keeps_its_last_good_checkpoint(
    shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        pretrain(shards, tmp_path, "--steps", "50", "--learning-rate", "1e30")
    assert "the loss is nan" in capfd.readouterr().err
    assert [load(path)["step"] for path in checkpoints(tmp_path)] == [0]


def test_no_checkpoint_holds_weights_that_diverged(
    shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Checkpoints come more often than the loss is looked at."""
    with pytest.raises(SystemExit):
        pretrain(shards, tmp_path, "--steps", "9", "--checkpoint-every", "1", "--learning-rate", "1e30")
    assert "the weights are not finite after step" in capfd.readouterr().err
    for path in checkpoints(tmp_path):
        assert all(value.isfinite().all() for name, value in load(path)["model"].items() if "running" not in name), path


def test_two_runs_in_one_folder_are_refused(shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with claimed(tmp_path), pytest.raises(SystemExit):
        pretrain(shards, tmp_path, "--steps", "1")
    assert "another process is working in" in capfd.readouterr().err


def test_initial_weights_are_kept_and_old_checkpoints_dropped(shards: Path, tmp_path: Path) -> None:
    pretrain(shards, tmp_path / "run", "--steps", "9", "--checkpoint-every", "2")
    assert [load(path)["step"] for path in checkpoints(tmp_path / "run")] == [0, 8, 9]


def test_learning_rate_zero_moves_only_batch_norm(shards: Path, tmp_path: Path) -> None:
    pretrain(shards, tmp_path / "run", "--steps", "3", "--learning-rate", "0")
    before, after = (load(checkpoint_path(tmp_path / "run", step))["model"] for step in (0, 3))
    moved = {name.rsplit(".", 1)[1] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"running_mean", "running_var", "num_batches_tracked"}


def test_the_run_says_what_it_was(shards: Path, tmp_path: Path) -> None:
    pretrain(shards, tmp_path / "run", "--epochs", "1")
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert config["settings"]["epochs"] == 1
    assert config["total_steps"] == config["steps_per_epoch"] == 3
    assert config["tracks"] == 24
    assert {operation["name"] for operation in config["augment"]["operations"]} >= {"polarity", "filter"}
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
    entry = read_log(tmp_path / "run")[-1]
    assert entry["step"] == 3
    assert 0 <= entry["wait_share"] <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "3", "--seed", "1"], "seed = 0, not 1"),
        (["--steps", "3", "--temperature", "0.1"], "temperature = 0.5, not 0.1"),
        (["--steps", "3", "--epochs", "3"], "--epochs or --steps"),
        ([], "--epochs or --steps"),
        (["--steps", "3", "--batch-size", "1"], "at least 2 pairs"),
        (["--steps", "3", "--batch-size", "25"], "25"),
        (["--steps", "3", "--width", "17"], "multiple of 4"),
        (["--steps", "3", "--augment", "nope"], "paper"),
        (["--steps", "-1"], "at least 0"),
        (["--steps", "3", "--sample-rate", "22050"], "8000 Hz"),
        (["--steps", "3", "--learning-rate", "inf"], "a number from 0 up"),
    ],
)
def test_mistakes_get_one_line(
    shards: Path, alone: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    out = alone if "not" in message else tmp_path / "run"
    precision = ["--precision", "float64"] if out == alone else []
    with pytest.raises(SystemExit) as stopped:
        pretrain(shards, out, *precision, *options)
    errors = capfd.readouterr().err
    assert stopped.value.code == 1
    assert message in errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


def test_missing_shards_get_one_line(tmp_path: Path) -> None:
    done = run(program("pretrain.py", ["--shards", str(tmp_path), "--run", str(tmp_path / "run"), "--steps", "1"]))
    assert done.returncode == 1
    assert "manifest.json is missing" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
