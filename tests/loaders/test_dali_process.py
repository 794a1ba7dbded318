"""DALI in a process: where it is missing, where it fails, after a fork and at the end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clmr.errors import ConfigError
from loaders.dali import OLDEST, DaliPrefetch, _pipelines, build_pipeline, load_dali
from loaders.reading.crops import CropReader
from loaders.reading.slabs import Slab, SlabPool
from tests.loaders.untidy_reads import Untidy, numbered

pytestmark = pytest.mark.needs("module:nvidia.dali")
CPU = torch.device("cpu")


def reader() -> CropReader:
    return Untidy(lambda: 0.0)


def test_a_missing_dali_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    with pytest.raises(ConfigError, match=r"pip install 'nvidia-dali-cuda130>=2\.4', or use --backend torch"):
        DaliPrefetch(numbered(1), reader(), SlabPool((4, 2, 50)), CPU, 1)


def test_an_old_dali_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to 2.2 a parallel source's batch could be overwritten; before 2.0 any delivered batch was."""
    for version, old in (("1.52.0", True), ("2.3.1", True), ("2.4.0", False), ("2.10.0", False), ("3.0.0dev", False)):
        monkeypatch.setattr(load_dali(), "__version__", version)
        if old:
            with pytest.raises(ConfigError, match=rf"needs NVIDIA DALI 2\.4, {version} is installed"):
                load_dali()
        else:
            load_dali()
        monkeypatch.undo()


def test_the_version_asked_for_is_the_one_installed_with_the_project() -> None:
    assert (
        f'"nvidia-dali-cuda130>={".".join(map(str, OLDEST))}'
        in (Path(__file__).parents[2] / "pyproject.toml").read_text()
    )


def test_a_gpu_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"DALI cannot work with device cuda:99: .*; use --backend torch"):
        build_pipeline(4, torch.device("cuda", 99))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no CUDA device is available"):
        DaliPrefetch(numbered(1), reader(), SlabPool((4, 2, 50)), torch.device("cuda"), 1)


class Broken(SlabPool):
    """Lends one batch of another type, from which no pipeline recovers."""

    sound = 2

    def lend(self, slab: Slab, rows: int) -> Tensor:
        self.sound -= 1
        return torch.zeros((rows, *self.shape[1:])) if self.sound < 0 else super().lend(slab, rows)


def test_after_an_error_of_dali_itself_there_is_a_way_on() -> None:
    slabs = Broken((4, 2, 50))
    prefetch = DaliPrefetch(numbered(9), reader(), slabs, CPU, 2)
    next(prefetch)
    with pytest.raises(RuntimeError, match=r"(?s)external_source.*no longer valid"):
        [next(prefetch) for _ in range(3)]
    prefetch.cancel()
    slabs.sound = 99
    again = DaliPrefetch(numbered(9, first=4), reader(), slabs, CPU, 2)
    assert [pcm.unique().tolist() for _, pcm in again] == [[4], [5], [6], [7], [8]]


def test_dali_is_told_to_keep_its_memory_unless_the_user_has_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DALI_MALLOC_POOL_THRESHOLD", raising=False)
    load_dali()
    assert os.environ["DALI_MALLOC_POOL_THRESHOLD"] == "1M"
    monkeypatch.setenv("DALI_MALLOC_POOL_THRESHOLD", "64k")
    load_dali()
    assert os.environ["DALI_MALLOC_POOL_THRESHOLD"] == "64k"


FORKED = """
import os, signal, sys
import torch
from clmr.errors import ConfigError
from loaders.dali import DaliPrefetch
from loaders.reading.slabs import SlabPool
from tests.loaders.untidy_reads import Untidy, numbered

assert "nvidia.dali" not in sys.modules, "loaded before anybody asked for it"
prefetch = DaliPrefetch(numbered(500, rows=8), Untidy(lambda: 0.0), SlabPool((8, 2, 59049)), torch.device("cpu"), 3)
held = [next(prefetch) for _ in range(4)]
for end in ("exit", "cancel", "at once"):
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # one that hangs leaves nothing behind
        try:
            next(prefetch)
        except ConfigError as error:
            sys.stdout.write(f"{end}: {error}\\n")
        if end == "cancel":
            prefetch.cancel()
            del prefetch
        if end == "at once":
            sys.stdout.flush()
            os._exit(0)
        sys.exit(len(end))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == (0 if end == "at once" else len(end)), status
assert int(next(prefetch)[1][0, 0, 0]) == 4
print("parent goes on")
"""


def test_a_forked_child_is_told_so_and_both_end_with_batches_held_and_under_way() -> None:
    """By itself, a child of a process that has a DALI pipeline hangs when it comes to its end."""
    command = [sys.executable, "-W", "error", "-c", FORKED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.sub(r"process \d+", "process 1", done.stdout).splitlines() == [
        *(
            f"{end}: this loader belongs to process 1: threads do not survive fork(); make the loader in the process "
            "that reads from it"
            for end in ("exit", "cancel", "at once")
        ),
        "parent goes on",
    ]


def test_a_fork_finds_dali_with_nothing_to_do_and_costs_no_batch() -> None:
    """A thread of DALI's that holds the lock of its memory pool at a fork would leave it locked in the child."""
    prefetch = DaliPrefetch(numbered(200), reader(), SlabPool((4, 2, 50)), CPU, 2)
    numbers = []
    while prefetch._moving is None:
        numbers.append(int(next(prefetch)[1][0, 0, 0]))
    child = os.fork()
    if child == 0:
        os._exit(prefetch._arrived is None)
    assert os.waitpid(child, 0)[1] == 0
    numbers += [int(pcm[0, 0, 0]) for _, pcm in prefetch]
    assert numbers == list(range(200))


def test_a_pipeline_goes_when_nobody_has_it() -> None:
    before = len(_pipelines)
    prefetch = DaliPrefetch(numbered(5), reader(), SlabPool((4, 2, 50)), CPU, 2)
    _, pcm = next(prefetch)
    assert len(_pipelines) == before + 1
    del prefetch
    assert len(_pipelines) == before
    assert np.array_equal(pcm.numpy(), np.zeros((4, 2, 50)))
