"""Memory that runs out ends in one line with the options that help, for real and on every rank."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from clmr.errors import ConfigError
from tests.train.launching import ROOT, SMALL, run
from tests.train.test_trainer import HERE, settings
from train.memory.out_of_memory import helping, options_that_help
from train.ranks.launch import Place

GPU = Place(3, 8, torch.device("cuda", 1))
CUDA = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 1 has a total capacity of 79.10 GiB of which 1.2 GiB is free."
)


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (torch.OutOfMemoryError(CUDA), "when 2.50 GiB more were asked for"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 3221225472 bytes."),
            "when 3.00 GiB more were asked for",
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "on cpu: --batch"),
        (MemoryError("Unable to allocate 8.00 PiB for an array"), "when 8.00 PiB more were asked for"),
        (MemoryError(), "on cpu: --batch"),
    ],
    ids=["CUDA", "CPU", "cuBLAS", "numpy", "bare"],
)
def test_what_was_asked_for(tmp_path: Path, error: Exception, asked: str) -> None:
    with pytest.raises(ConfigError) as caught, options_that_help(settings(tmp_path), 8000, HERE):
        raise error
    message = str(caught.value)
    assert "rank 0 ran out of memory" in message
    assert asked in message
    assert "--batch-size 6 over 1 process(es) needs about" in message
    assert message.endswith("the same command with --memory-plan says what each would need")
    assert caught.value.__cause__ is error


def test_the_allocators_still_say_so(tmp_path: Path) -> None:
    for allocate in (lambda: torch.empty(2**50), lambda: np.empty(2**50)):
        with (
            pytest.raises(ConfigError, match="ran out of memory on cpu when"),
            options_that_help(settings(tmp_path), None, HERE),
        ):
            allocate()


def test_other_errors_pass(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
        options_that_help(settings(tmp_path), 8000, HERE),
    ):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.mark.parametrize(
    ("change", "place", "options"),
    [
        ({"precision": "float32"}, GPU, "--precision bf16, --fused, more processes, a smaller --batch-size"),
        ({"precision": "tf32"}, HERE, "--precision bf16, --fused, a smaller --batch-size"),
        ({"precision": "bf16", "compile": True}, HERE, "--fused instead of --compile, a smaller --batch-size"),
        ({"precision": "bf16", "fused": True}, GPU, "more processes, a smaller --batch-size"),
    ],
    ids=["all", "on a CPU", "compiled", "fused"],
)
def test_only_what_is_not_in_use_is_advised(
    tmp_path: Path, change: dict[str, object], place: Place, options: str
) -> None:
    assert helping(settings(tmp_path, **change), place) == f"try {options}"


LIMITED = """
import resource, sys
from pathlib import Path
from train.trainer import Trainer
from train.pretrain import main

step = Trainer.step

def limited(trainer, batch, **options):
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 2**24, resource.RLIM_INFINITY))
    return step(trainer, batch, **options)

Trainer.step = limited
main()
"""


def test_a_run_that_really_runs_out(shards: Path, tmp_path: Path) -> None:
    """The process may have 16 MiB beyond what it has before its first step."""
    options = [
        "--shards",
        str(shards),
        "--run",
        str(tmp_path),
        *SMALL,
        "--width",
        "256",
        "--steps",
        "2",
        "--no-ceilings",
    ]
    done = run(["env", f"PYTHONPATH={ROOT}", sys.executable, "-c", LIMITED, *options])
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: rank 0 ran out of memory on cpu when ")
    assert "try --precision bf16, --fused, a smaller --batch-size" in error
