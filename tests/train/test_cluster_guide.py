"""What docs/cluster.md tells people to paste: its commands are understood, and the Slurm script runs."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.distributed.run import get_args_parser

from tests.train.launching import ROOT, SMALL, environment, free_port, newest
from train.pretrain import main
from train.runs.checkpoint import checkpoint_path, load

GUIDE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
FILES = ROOT / "docs" / "cluster"
yaml = importlib.import_module("yaml")  # it has no types
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"^```sh\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("torchrun")
]


@pytest.mark.parametrize("command", COMMANDS, ids=["two hosts", "elastic"])
def test_torchrun_understands_the_commands(command: list[str]) -> None:
    parsed = get_args_parser().parse_args(command[1:])
    assert (ROOT / parsed.training_script).is_file()
    options = main.make_context("pretrain", list(parsed.training_script_args)).params
    assert options["batch_size"] % 8 == 0, "for two nodes of four processes"
    assert parsed.rdzv_backend == "c10d"


def test_the_pytorchjob_is_understood() -> None:
    job = yaml.safe_load((FILES / "pretrain-pytorchjob.yaml").read_text(encoding="utf-8"))
    worker = job["spec"]["pytorchReplicaSpecs"]["Worker"]
    (container,) = worker["template"]["spec"]["containers"]
    parsed = get_args_parser().parse_args(container["command"][1:])
    assert parsed.training_script == "train/pretrain.py"
    options = main.make_context("pretrain", list(parsed.training_script_args)).params
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert options["cache"] in mounts
    assert str(options["run"].parent) in mounts
    assert set(mounts.values()) == {volume["name"] for volume in worker["template"]["spec"]["volumes"]}
    processes = int(job["spec"]["nprocPerNode"]) * worker["replicas"]
    assert options["batch_size"] % processes == 0
    assert job["spec"]["elasticPolicy"]["maxReplicas"] == worker["replicas"]


STAND_INS = {
    "srun": 'shift\nexec "$@"\n',  # its only option
    "scontrol": 'if [ "$1" = show ]; then echo 127.0.0.1; else echo "$*" > "$RUN/requeued"; fi\n',
    ".venv/bin/torchrun": f'exec {sys.executable} -m torch.distributed.run "$@"\n',
}


def test_the_slurm_script_is_put_back_in_the_queue(shards: Path, tmp_path: Path) -> None:
    """Ahead of the time limit Slurm sends SIGUSR1: a checkpoint, its copy, and the job is queued again."""
    for name, text in STAND_INS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "train").symlink_to(ROOT / "train")
    run, copies = tmp_path / "run", tmp_path / "copies"
    places = {"CLMR": tmp_path, "SHARDS": shards, "RUN": run, "CHECKPOINTS": copies, "CACHE": tmp_path / "cache"}
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "n", "SLURM_GPUS_ON_NODE": "2"}
    process = subprocess.Popen(
        [
            "bash",
            str(FILES / "pretrain.sbatch"),
            *SMALL,
            "--augment",
            "crop",
            "--precision",
            "float32",
            "--checkpoint-every",
            "2",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **environment(),
            **{name: str(value) for name, value in places.items()},
            **slurm,
            "PORT": str(free_port()),
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
        },
    )
    while not checkpoint_path(run, 2).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert (run / "requeued").read_text() == "requeue 7\n"
    step = newest(run)["step"]
    assert f"stopped at step {step} of " in output
    assert f"{copies}: holds the checkpoint of step {step}" in output
    copy = load(copies / "checkpoints" / f"step-{step:08d}.pt")
    assert all(torch.equal(copy["model"][name], value) for name, value in newest(run)["model"].items())
