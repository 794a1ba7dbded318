"""kill -9 of any process of a run at any moment: nothing is lost, and the weights become what they would have been.

The ranks are forked from a process that has imported everything, with the environment that torchrun gives them, so that
a start costs a second; torchrun itself is killed in the last test. A rank kills itself at the moment a test names.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from tests.train.launching import SMALL, environment, flat, free_port, newest, program
from train.pretrain import main
from train.runs.checkpoint import checkpoint_path, checkpoints, load
from train.runs.log import read_log

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tests.train.test_killed_ranks", "torch.utils.tensorboard"])
OPTIONS = [*SMALL, "--batch-size", "6", "--precision", "float64", "--augment", "crop", "--no-ceilings"]
OPTIONS += ["--steps", "24", "--checkpoint-every", "4"]
LAST_WORD = 60  # seconds after a rank's death in which the others have to end


@dataclass(frozen=True)
class Death:
    """Which rank dies at which moment of its life; the moments are the functions below."""

    rank: int
    moment: Callable[..., None]
    what: str | int
    """Name of the file that is touched, or number of the call."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def opening(name: str) -> None:
    """When a file is opened to be written."""
    sys.addaudithook(lambda event, details: die() if event == "open" and _writes(details, name) else None)


def removing(name: str) -> None:
    """When a file is about to be removed."""
    sys.addaudithook(lambda event, details: die() if event == "os.remove" and str(details[0]).endswith(name) else None)


def half_way(name: str) -> None:
    """In the middle of a write: the kernel ends the process when the file has 20,000 bytes."""

    def hook(event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and _writes(details, name):
            _let_files_grow_to(20_000)

    sys.addaudithook(hook)


def tearing(log: str) -> None:
    """In the middle of the next line of the log: the kernel ends the process when that has 30 bytes."""

    def hook(event: str, details: tuple[Any, ...]) -> None:
        if event == "os.rename" and "step-" in str(details[1]):
            _let_files_grow_to(Path(log).stat().st_size + 30)

    # Bound late: the first checkpoint of this start is behind the last log line that is kept.
    sys.addaudithook(hook)


def updating(number: int) -> None:
    """Between gradients and weights of a step."""
    real, calls = torch.optim.Adam.step, [0]

    def step(self: torch.optim.Adam, closure: None = None) -> None:
        calls[0] += 1
        if calls[0] == number:
            die()
        real(self, closure)

    torch.optim.Adam.step = step  # type: ignore[method-assign]  # in a process that is about to die


def summing(number: int) -> None:
    """At a sum over ranks that the others have begun."""
    real, calls = dist.all_reduce, [0]

    def all_reduce(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            time.sleep(0.2)
            die()
        return real(*arguments, **options)

    dist.all_reduce = all_reduce


def _writes(details: tuple[Any, ...], name: str) -> bool:
    path, _, flags = details
    return name in str(path) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def _let_files_grow_to(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def be_rank(rank: int, ranks: int, port: int, shards: Path, run: Path, death: Death | None) -> None:
    """What a forked process does."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    log = os.open(run.with_name(f"{run.name}-{rank}.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if death is not None and death.rank == rank:
        death.moment(death.what)
    main.main(["--shards", str(shards), "--run", str(run), *OPTIONS], standalone_mode=False)


def train(ranks: int, shards: Path, run: Path, death: Death | None = None) -> list[int | None]:
    """Start the ranks, wait until all have ended, and give their exit codes."""
    port = free_port()
    family: list[BaseProcess] = [
        FORK.Process(target=be_rank, args=(rank, ranks, port, shards, run, death)) for rank in range(ranks)
    ]
    for process in family:
        process.start()
    if death is not None:
        family[death.rank].join(LAST_WORD)
    for process in family:
        process.join(LAST_WORD)
    codes = [process.exitcode for process in family]
    for process in family:
        process.kill()
    said = "".join(path.read_text()[-2000:] for path in sorted(run.parent.glob(f"{run.name}-*.log")))
    assert None not in codes, f"some did not end: {codes}\n{said}"
    if death is None:
        assert codes == [0] * ranks, said
    else:
        assert codes[death.rank] in {-signal.SIGKILL, -signal.SIGXFSZ}, f"{death} did not happen: {codes}\n{said}"
    return codes


def assert_same_run(run: Path, whole: Path) -> None:
    """Weights, moments and loader to the bit, and the log line by line."""
    expected, found = flat(newest(whole)), flat(newest(run))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    lines = [[(entry["step"], entry["loss"]) for entry in read_log(folder)] for folder in (whole, run)]
    assert [step for step, _ in lines[0]] == [10, 20, 24]
    assert lines[1] == lines[0]


TWO = [
    Death(1, updating, 6),
    Death(0, half_way, ".step-00000008"),
    Death(0, tearing, "log.jsonl"),
    Death(1, summing, 150),
    Death(0, removing, "step-00000008.pt"),
    Death(0, opening, "config.json"),
]
THREE = [Death(2, updating, 6)]
"""Sums of three floats, unlike those of two, depend on their order: a run that goes on has to add in the same one."""


@pytest.mark.parametrize("deaths", [TWO, THREE], ids=["two ranks", "three ranks"])
def test_a_run_survives_death_after_death(shards: Path, tmp_path: Path, deaths: list[Death]) -> None:
    ranks = 2 if deaths is TWO else 3
    whole, run = tmp_path / "whole", tmp_path / "run"
    train(ranks, shards, whole)
    reached = -1
    for death in deaths:
        where = str(run / "log.jsonl") if death.moment is tearing else death.what
        train(ranks, shards, run, Death(death.rank, death.moment, where))
        there = [load(path)["step"] for path in checkpoints(run)]
        assert max(there, default=-1) >= reached, f"{death} lost a checkpoint"
        reached = max(there, default=-1)
        assert reached < 24, f"{death} came too late to show anything"
    train(ranks, shards, run)
    assert_same_run(run, whole)
    assert [path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")] == []


def test_kill_9_of_torchrun_ends_its_workers(shards: Path, tmp_path: Path) -> None:
    """Or they would go on writing, and the same command be refused as long as they do; the store is a worker's own."""
    run = tmp_path / "run"
    options = ["--shards", str(shards), "--run", str(run), *OPTIONS, "--steps", "100000"]
    command = program("pretrain.py", options, ["--standalone", "--nproc-per-node", "2"])
    with (tmp_path / "log").open("wb") as log:
        torchrun = subprocess.Popen(
            command, stdout=log, stderr=log, env={**environment(), "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
        )
    for _ in range(6000):
        if checkpoint_path(run, 4).exists():
            break
        assert torchrun.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.01)
    children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children")
    workers = [int(number) for number in children.read_text().split()]
    assert len(workers) == 2
    torchrun.kill()
    torchrun.wait()
    try:
        for _ in range(600):
            if not any(map(_runs, workers)):
                break
            time.sleep(0.05)
        assert not any(map(_runs, workers)), "its workers train on"
        assert [load(path)["step"] for path in checkpoints(run)]
    finally:
        for worker in filter(_runs, workers):
            os.kill(worker, signal.SIGKILL)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes() != b""
    except OSError:
        return False
