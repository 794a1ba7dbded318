"""Checkpoints in a bucket: a run whose folder is gone goes on from there, and a bucket that fails costs no step."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from clmr.errors import ClmrError, ConfigError, ResumeError
from sharding.storage import objects, place_at
from tests.servers.ceph import Ceph
from tests.servers.s3 import needs_s3
from tests.train.launching import SMALL, environment, flat, newest, program, run
from train.pretrain import main
from train.runs.checkpoint import checkpoint_path, checkpoints, save
from train.runs.checkpoint_store import CheckpointStore
from train.runs.log import read_log

# float64 after 12 steps at one and at two processes
EXACT = 1e-8
PLAIN = ["--augment", "crop", "--no-ceilings"]


def pretrain(shards: Path, out: Path, *options: str) -> None:
    """Train in this process."""
    arguments = ["--shards", str(shards), "--run", str(out), *SMALL, *PLAIN, *options]
    main.main(arguments, standalone_mode=False)


def accept(_folder: Path) -> None:
    """A check that all runs pass."""


def state(step: int, size: int = 10) -> dict[str, Any]:
    """What a checkpoint holds, with a tensor of so many numbers."""
    return {"model": {"weight": torch.full((size,), float(step))}, "encoder_config": {}}


def write(out: Path, *steps: int, size: int = 10) -> None:
    """A run's folder with checkpoints and a configuration."""
    for step in steps:
        save(out, step, state(step, size))
    (out / "config.json").write_text(json.dumps({"settings": {}, "total_steps": 9}))


def copy_each(out: Path, where: str, *steps: int) -> None:
    """Checkpoints written and copied one after the other."""
    for step in steps:
        write(out, step)
        store = CheckpointStore(place_at(where), out)
        store.send(step)
        assert store.close().endswith(f"holds the checkpoint of step {step}")


@needs_s3
def test_goes_on_elsewhere_at_another_number_of_processes(
    bucket: str, shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--precision", "float64", "--checkpoint-every", "4"]
    pretrain(shards, tmp_path / "quiet", "--steps", "12", *options)
    there = ["--checkpoints", f"{bucket}/run"]
    pretrain(shards, tmp_path / "first", "--steps", "7", *options, *there)
    assert f"{bucket}/run: holds the checkpoint of step 7" in capfd.readouterr().err
    assert place_at(f"{bucket}/run").walk().files == (
        "augment.jsonl",
        *(f"checkpoints/step-{step:08d}.pt" for step in (0, 4, 7)),
        *("config.json", "log.jsonl"),
    )
    arguments = ["--shards", str(shards), "--run", str(tmp_path / "second"), *SMALL, "--steps", "12", *options, *there]
    done = run(program("pretrain.py", [*arguments, *PLAIN], ["--standalone", "--nproc-per-node", "2"]))
    assert done.returncode == 0, done.stderr
    ours, theirs = (flat(newest(tmp_path / name)["model"]) for name in ("second", "quiet"))
    assert max(float((ours[name].double() - theirs[name].double()).abs().max()) for name in theirs) < EXACT
    assert [entry["step"] for entry in read_log(tmp_path / "second")] == [7, 10, 12]
    assert (tmp_path / "second" / "augment.jsonl").read_bytes() == (tmp_path / "first" / "augment.jsonl").read_bytes()
    assert [path.name for path in checkpoints(tmp_path / "second")] == [f"step-{step:08d}.pt" for step in (0, 8, 12)]
    with pytest.raises(SystemExit):
        pretrain(shards, tmp_path / "third", "--steps", "12", "--seed", "1", *options, *there)
    assert f"error: {bucket}/run was begun with seed = 0, not 1" in capfd.readouterr().err
    assert not (tmp_path / "third").exists()
    assert "test-secret" not in (tmp_path / "second" / "config.json").read_text() + done.stderr


@needs_s3
def test_older_copies_go_and_damaged_ones_are_passed_over(
    bucket: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    where, place = f"{bucket}/run", place_at(f"{bucket}/run")
    copy_each(tmp_path / "run", where, 0, 2, 4, 6)
    assert list(place.files("checkpoints")) == [f"step-{step:08d}.pt" for step in (0, 4, 6)]
    place.write("checkpoints/step-00000006.pt", place.read("checkpoints/step-00000006.pt")[:-30])
    store = CheckpointStore(place, tmp_path / "other")
    store.fetch(accept)
    assert f"warning: {where}/step-00000006.pt is damaged" in capfd.readouterr().err
    assert [path.name for path in checkpoints(tmp_path / "other")] == [f"step-{step:08d}.pt" for step in (0, 4)]
    write(tmp_path / "other", 5)
    store.send(5)
    store.close()
    assert list(place.files("checkpoints")) == [f"step-{step:08d}.pt" for step in (0, 4, 5)], "the damaged one is gone"


def test_the_newest_of_both_is_taken(tmp_path: Path) -> None:
    """Copies may lie in a folder as well as in a bucket."""
    where = tmp_path / "copies"
    copy_each(tmp_path / "run", str(where), 0, 3)
    write(tmp_path / "run", 5)
    ahead = CheckpointStore(place_at(where), tmp_path / "run")
    ahead.fetch(accept)
    assert newest(tmp_path / "run")["step"] == 5
    assert ahead.close() == f"{where}: holds the checkpoint of step 5", "it was not there, and is copied first"
    write(tmp_path / "behind", 4)
    (tmp_path / "behind" / "log.jsonl").write_text("of another day")
    CheckpointStore(place_at(where), tmp_path / "behind").fetch(accept)
    assert newest(tmp_path / "behind")["step"] == 5


def test_copies_of_another_run_are_refused(tmp_path: Path) -> None:
    copy_each(tmp_path / "run", str(tmp_path / "copies"), 3)

    def refuse(folder: Path) -> None:
        raise ResumeError(f"{folder} was begun otherwise")

    with pytest.raises(ResumeError, match=f"^{tmp_path / 'copies'} was begun otherwise"):
        CheckpointStore(place_at(tmp_path / "copies"), tmp_path / "other").fetch(refuse)
    assert not (tmp_path / "other").exists()
    with pytest.raises(ConfigError, match="own folder"):
        CheckpointStore(place_at(tmp_path / "run"), tmp_path / "run")


def test_a_place_that_takes_nothing_ends_the_run_at_once(tmp_path: Path) -> None:
    write(tmp_path / "run", 3)
    (tmp_path / "file").touch()
    store = CheckpointStore(place_at(tmp_path / "file" / "copies"), tmp_path / "run")
    with pytest.raises(OSError, match="file"):
        store.fetch(accept)
    assert not store.used


def test_a_url_with_a_password_is_refused(shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pretrain(shards, tmp_path / "run", "--steps", "1", "--checkpoints", "s3://me:hush-hush@bucket/run")
    printed = capfd.readouterr()
    assert "a s3:// URL must not hold a user name or password" in printed.err
    assert "hush-hush" not in printed.err + printed.out


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer is given up soon."""
    monkeypatch.setattr(objects, "RETRY_SECONDS", 1.0)
    monkeypatch.setattr(objects, "FIRST_SECONDS", 1.0)


def soon(happened: Callable[[], bool]) -> None:
    """Wait for something."""
    while not happened():
        time.sleep(0.02)


@pytest.mark.needs("radosgw")
@pytest.mark.usefixtures("quick")
def test_a_server_that_fails_costs_no_step(
    bucket: str, ceph: Ceph, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The gateway is killed while 24 MiB are on their way; what was there stays, and the next copy gets there."""
    where, large = f"{bucket}/run", 6 << 20
    copy_each(tmp_path / "run", where, 0, 1)
    store = CheckpointStore(place_at(where), tmp_path / "run")
    write(tmp_path / "run", 2, size=large)
    store.send(2)
    soon(lambda: bool(ceph.uploads(where.split("/")[2])))
    ceph.kill()
    try:
        soon(lambda: "the checkpoint of step 2 was not copied" in capfd.readouterr().err)
    finally:
        ceph.start()
    assert list(place_at(where).files("checkpoints")) == [f"step-{step:08d}.pt" for step in (0, 1)]
    write(tmp_path / "run", 3)
    store.send(3)
    assert store.close() == f"{where}: holds the checkpoint of step 3"


@needs_s3
@pytest.mark.usefixtures("quick")
def test_what_is_not_there_is_said(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    write(tmp_path, 2)
    store = CheckpointStore(place_at(f"{bucket}/run"), tmp_path)
    store.send(2)
    line = store.close()
    assert line.startswith(f"warning: {bucket}/run: the checkpoint of step 2 is not there (")
    assert line.endswith("; the newest is none of this start")
    assert "wrong-secret" not in line
    with pytest.raises((ClmrError, OSError)):  # what is there cannot be known, so the run does not begin
        CheckpointStore(place_at(f"{bucket}/run"), tmp_path).fetch(accept)


@needs_s3
def test_kill_9_during_an_upload_leaves_whole_checkpoints(bucket: str, shards: Path, tmp_path: Path) -> None:
    out, where = tmp_path / "run", f"{bucket}/run"
    wide = ["--shards", str(shards), "--run", str(out), *SMALL, "--width", "128", "--steps", "100000"]
    arguments = [*wide, "--checkpoint-every", "1", "--checkpoints", where, *PLAIN]
    process = subprocess.Popen(
        program("pretrain.py", arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    soon(lambda: checkpoint_path(out, 3).exists() or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == -9, errors
    names = list(place_at(where).files("checkpoints"))
    assert names
    for name in names:
        (tmp_path / name).write_bytes(place_at(where).read(f"checkpoints/{name}"))
        assert torch.load(tmp_path / name, weights_only=True)["step"] == int(name[5:-3])
