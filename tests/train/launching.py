"""Ways to start the entry points as a user does, and to look at what they leave behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from train.runs.checkpoint import checkpoints, load

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = [sys.executable, "-m", "torch.distributed.run"]
SMALL = ["--width", "16", "--projection", "8", "--batch-size", "8", "--device", "cpu", "--threads", "1"]


def program(script: str, arguments: Sequence[str], torchrun: Sequence[str] | None = None) -> list[str]:
    """The command that runs ``train/<script>``, plainly or under torchrun with the given options."""
    start = [sys.executable] if torchrun is None else [*LAUNCHER, *torchrun, "--"]
    return [*start, str(ROOT / "train" / script), *arguments]


def environment() -> dict[str, str]:
    """This process's environment for programs that must compute what this process computes: the same threads."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and keep what it prints."""
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment())


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def newest(run_folder: Path) -> dict[str, Any]:
    """The newest checkpoint of a run."""
    return load(checkpoints(run_folder)[-1])


def flat(state: Any, prefix: str = "") -> dict[str, torch.Tensor]:
    """Every tensor in a nested state, by its path."""
    if isinstance(state, torch.Tensor):
        return {prefix: state}
    if isinstance(state, dict):
        return {name: value for key in state for name, value in flat(state[key], f"{prefix}/{key}").items()}
    if isinstance(state, list | tuple):
        return {name: value for key, item in enumerate(state) for name, value in flat(item, f"{prefix}/{key}").items()}
    return {}
