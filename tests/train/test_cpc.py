"""CPC as a user runs it: the loss falls, any number of processes and any kind of death give one result."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch

import clmr
from clmr.augment import from_int16
from clmr.cpc import CPC, draw_negatives, info_nce, load_features
from clmr.errors import ResumeError
from loaders import PairLoader, WindowLoader
from tests.train.launching import environment, flat, free_port, newest, program
from tests.train.test_interruptions import wait_for
from tests.train.test_pretrain import EXACT, difference
from train.cpc import main
from train.cpc_settings import CpcSettings
from train.cpc_trainer import CpcTrainer
from train.embed import embed
from train.embed import main as embed_main
from train.features import open_features
from train.pretrain import main as pretrain
from train.ranks.launch import Place
from train.runs.checkpoint import checkpoint_path, checkpoints, load, load_encoder
from train.runs.log import RunLog, read_log

SMALL = ["--width", "8", "--context", "6", "--predictions", "4", "--negatives", "5", "--crop-frames", "6000"]
COMMON = [*SMALL, "--batch-size", "8", "--device", "cpu", "--threads", "1"]
HERE = Place(0, 1, torch.device("cpu"))


def cpc(shards: Path, out: Path, *options: str) -> None:
    """Train in this process."""
    main.main(["--shards", str(shards), "--run", str(out), *COMMON, *options], standalone_mode=False)


def start(shards: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """Train in a process of its own."""
    command = program("cpc.py", ["--shards", str(shards), "--run", str(out), *COMMON, *options])
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())


def assert_equal_runs(one: Path, other: Path) -> None:
    a, b = flat(newest(one)), flat(newest(other))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def alone(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five float64 steps in one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    cpc(shards, out, "--steps", "5", "--precision", "float64", "--batch-norm")
    return out


def test_a_step_is_what_it_says(shards: Path) -> None:
    """Adam's first step: with both moments corrected it is w - lr g / (|g| + eps)."""
    fields = {"width": 8, "context": 6, "predictions": 4, "negatives": 5, "crop_frames": 6000, "batch_size": 6}
    settings = CpcSettings(shards=(str(shards),), steps=1, seed=3, precision="float64", learning_rate=0.02, **fields)  # type: ignore[arg-type]  # a table of settings
    trainer = CpcTrainer(settings, HERE)
    with trainer.loader:
        measured = trainer.step(next(iter(trainer.loader)), measure=True)
    torch.manual_seed(3)
    model = CPC(8, 6, 4).double()
    with PairLoader(shards, batch_size=6, seed=3, crop_frames=6000) as loader:
        batch = next(iter(loader))
    z, predictions = model(batch.pcm[:, 0, None].double() / 32768)
    expected = info_nce(z, predictions, draw_negatives(batch.keys[:, 0], z.shape[1], 4, 5)).loss
    expected.backward()
    torch.testing.assert_close(measured["loss"], expected.detach(), rtol=1e-9, atol=0)
    squares = torch.stack([w.grad.square().sum() for w in model.parameters() if w.grad is not None])
    torch.testing.assert_close(measured["gradient_norm"], squares.sum().sqrt(), rtol=1e-9, atol=0)
    assert trainer.learning_rate == 0.02
    for (name, ours), w in zip(trainer.model.named_parameters(), model.parameters(), strict=True):
        assert w.grad is not None
        stepped = w.detach() - 0.02 * w.grad / (w.grad.abs() + 1e-8)
        torch.testing.assert_close(ours.detach(), stepped, rtol=1e-5, atol=1e-7, msg=name)


def loss_elsewhere(shards: Path, state: dict[str, object]) -> tuple[float, float]:
    """Loss and accuracy of a checkpoint on crops and negatives it never saw."""
    model = load_features(state).cpc
    with PairLoader(shards, batch_size=8, seed=99, crop_frames=6000) as loader, torch.no_grad():
        outcomes = []
        for batch in loader:
            z, predictions = model(from_int16(batch.pcm[:, 0]))
            outcomes.append(info_nce(z, predictions, draw_negatives(batch.keys[:, 0], z.shape[1], 4, 5)))
    return (
        sum(each.loss.item() for each in outcomes) / len(outcomes),
        sum(each.accuracy.item() for each in outcomes) / len(outcomes),
    )


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_loss_falls(shards: Path, tmp_path: Path, precision: str) -> None:
    cpc(shards, tmp_path, "--steps", "120", "--learning-rate", "1e-2", "--width", "16", "--precision", precision)
    before, chance = loss_elsewhere(shards, load(checkpoint_path(tmp_path, 0)))
    after, accuracy = loss_elsewhere(shards, newest(tmp_path))
    assert after < before - 0.2
    assert accuracy > chance + 0.1


def test_two_processes_equal_one(shards: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With negatives and batch statistics from both; the first rank is this process."""
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "GLOO_SOCKET_IFNAME": "lo"}
    for name, value in {**meeting, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    options = ["--steps", "5", "--precision", "float64", "--batch-norm"]
    second = start(shards, tmp_path, *options)
    monkeypatch.setenv("RANK", "0")
    cpc(shards, tmp_path, *options)
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["world_size"] == 2
    assert difference(alone, tmp_path) < EXACT
    for name in ("loss", "contrastive_accuracy"):
        assert read_log(tmp_path)[-1][name] == pytest.approx(read_log(alone)[-1][name], rel=EXACT)


def test_goes_on_to_the_bit(shards: Path, tmp_path: Path) -> None:
    cpc(shards, tmp_path / "whole", "--steps", "7")
    cpc(shards, tmp_path / "resumed", "--steps", "4")
    cpc(shards, tmp_path / "resumed", "--steps", "7")
    report = (tmp_path / "resumed" / "saturation.json").read_bytes()
    cpc(shards, tmp_path / "resumed", "--steps", "7")  # there is nothing left to do
    assert (tmp_path / "resumed" / "saturation.json").read_bytes() == report
    assert_equal_runs(tmp_path / "whole", tmp_path / "resumed")
    assert [load(path)["step"] for path in checkpoints(tmp_path / "resumed")] == [0, 4, 7]


def test_kill_9_costs_nothing(shards: Path, tmp_path: Path) -> None:
    options = ["--steps", "100", "--checkpoint-every", "3"]
    cpc(shards, tmp_path / "whole", *options)
    process = start(shards, tmp_path / "killed", *options)
    wait_for(checkpoint_path(tmp_path / "killed", 6), process)
    process.kill()
    process.communicate()
    assert newest(tmp_path / "killed")["step"] < 100, "it was killed too late to show anything"
    cpc(shards, tmp_path / "killed", *options)
    assert_equal_runs(tmp_path / "whole", tmp_path / "killed")
    ours, theirs = ([entry["loss"] for entry in read_log(tmp_path / name)] for name in ("killed", "whole"))
    assert ours == theirs
    assert len(ours) == 10


def test_goes_on_from_its_copies_when_the_folder_is_gone(shards: Path, alone: Path, tmp_path: Path) -> None:
    options = ["--precision", "float64", "--batch-norm", "--checkpoints", str(tmp_path / "copies")]
    cpc(shards, tmp_path / "run", "--steps", "3", *options)
    shutil.rmtree(tmp_path / "run")
    cpc(shards, tmp_path / "run", "--steps", "5", *options)
    assert_equal_runs(alone, tmp_path / "run")
    assert [path.name for path in checkpoints(tmp_path / "copies")] == [f"step-{step:08d}.pt" for step in (0, 3, 5)]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_after_a_checkpoint(
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    number: signal.Signals,
    status: int,
) -> None:
    monkeypatch.setattr(RunLog, "advance", lambda self: os.kill(os.getpid(), number))
    with nullcontext() if status == 0 else pytest.raises(SystemExit, match=str(status)):
        cpc(shards, tmp_path, "--steps", "9")
    assert "stopped at step 1 of 9" in capfd.readouterr().out
    assert newest(tmp_path)["step"] == 1


def test_features_reach_the_probes_folder(shards: Path, alone: Path, tmp_path: Path) -> None:
    features = load_features(newest(alone))
    with WindowLoader(str(shards), batch_size=16, sample_rate=features.sample_rate) as loader:
        origin: dict[str, object] = {"labels": ["high", "pulse"], "encoder": "cpc"}
        windows = embed(features, features.width, loader, tmp_path, origin, HERE)
    matrix, labels, _ = open_features(tmp_path).of("test")
    assert open_features(tmp_path).matrix.shape == (windows, 6)
    assert len(labels) == 12
    assert abs(matrix).max() <= 1
    assert matrix.std(axis=0).min() > 0


def test_the_command_embeds_a_run(shards: Path, alone: Path, tmp_path: Path) -> None:
    """Windows are SampleCNN's, whatever crops it trained on, so that features of both systems meet the same probe."""
    embed_main.main(
        ["--run", str(alone), "--shards", str(shards), "--out", str(tmp_path / "features"), "--device", "cpu"],
        standalone_mode=False,
    )
    features = open_features(tmp_path / "features")
    assert features.matrix.shape == (80, 6)
    assert features.origin["encoder"] == str(checkpoints(alone)[-1])
    one = ["--checkpoint", str(checkpoints(alone)[-1]), "--shards", str(shards), "--out", str(tmp_path / "one")]
    embed_main.main([*one, "--device", "cpu"], standalone_mode=False)
    assert (open_features(tmp_path / "one").matrix == features.matrix).all()


def test_the_run_says_what_it_was(alone: Path) -> None:
    config = json.loads((alone / "config.json").read_text(encoding="utf-8"))
    assert config["kind"] == "cpc"
    assert config["settings"]["negatives"] == 5
    assert config["total_steps"] == 5
    assert list((alone / "tensorboard").glob("events.*"))
    logged = {"step", "epoch", "loss", "contrastive_accuracy", "pairs_per_second", "learning_rate", "gradient_norm"}
    assert logged <= set(read_log(alone)[-1])
    waited = json.loads((alone / "saturation.json").read_text(encoding="utf-8"))
    assert waited["ranks"][0]["together"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "6", "--seed", "1"], "seed = 0, not 1"),
        (["--steps", "6", "--negatives", "6"], "negatives = 5, not 6"),
        (["--steps", "6", "--no-batch-norm"], "batch_norm = True, not False"),
        (["--steps", "6", "--crop-frames", "7000"], "crop_frames"),
        (["--steps", "4"], "has done 5 steps already"),
        (["--steps", "6", "--epochs", "3"], "--epochs or --steps"),
        ([], "--epochs or --steps"),
        (["--steps", "6", "--predictions", "0"], "--predictions 0: at least 1"),
        (["--steps", "6", "--predictions", "40", "--run", "elsewhere"], "samples give 14 latents, which must be more"),
        (["--steps", "6", "--learning-rate", "nan"], "a number from 0 up"),
        (["--steps", "50", "--learning-rate", "1e200", "--run", "elsewhere"], "lower --learning-rate"),
    ],
)
def test_mistakes_get_one_line(
    shards: Path, alone: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    options = [str(tmp_path / option) if option == "elsewhere" else option for option in options]
    with pytest.raises(SystemExit) as stopped:
        cpc(shards, alone, "--precision", "float64", "--batch-norm", *options)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert stopped.value.code == 1
    assert len(lines) == 1
    assert message in lines[0]


def test_runs_of_two_programs_are_kept_apart(
    shards: Path, alone: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny = ["--width", "16", "--projection", "8", "--batch-size", "8", "--device", "cpu", "--threads", "1"]
    arguments = ["--shards", str(shards), "--run", str(tmp_path), *tiny, "--steps", "0"]
    pretrain.main(arguments, standalone_mode=False)
    with pytest.raises(SystemExit):
        cpc(shards, tmp_path, "--steps", "1")
    assert "is a run of train/pretrain.py" in capfd.readouterr().err
    for load_it in (partial(load_encoder, None, checkpoints(alone)[-1]), partial(clmr.load_encoder, alone)):
        with pytest.raises(ResumeError, match=r"is a checkpoint of train/cpc\.py"):
            load_it()
