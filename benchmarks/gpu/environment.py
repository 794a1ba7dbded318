"""The GPU, its driver and software, and what it reaches on a copy and a matrix product."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import torch

from benchmarks.gpu.check import Check, Figures, NotCheckedError, Target, WrongError
from benchmarks.gpu.rooflines import measured_peaks
from benchmarks.report import installed

PACKAGES = (
    *("torch", "torchaudio", "triton", "numpy", "pyarrow", "click", "nvidia-dali-cuda130", "webdataset", "obstore"),
    *("soundfile", "soxr"),
)
FIELDS = ("name", "driver_version", "memory.total", "memory.used", "clocks.sm", "clocks.max.sm", "clocks.mem")
MORE_FIELDS = ("power.limit", "temperature.gpu", "persistence_mode", "utilization.gpu")


def query(what: str, fields: tuple[str, ...], device: torch.device | None = None) -> list[list[str]]:
    """What nvidia-smi says, a list of values for each line.

    Raises:
        NotCheckedError: it is not there or does not answer.
    """
    if shutil.which("nvidia-smi") is None:
        raise NotCheckedError("the program nvidia-smi is not there")
    command = ["nvidia-smi", f"--query-{what}={','.join(fields)}", "--format=csv,noheader"]
    if device is not None:
        command.append(f"--id={uuid_of(device)}")
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=15).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NotCheckedError(f"nvidia-smi does not answer ({type(error).__name__})") from error
    return [[value.strip() for value in line.split(",")] for line in said.splitlines() if line.strip()]


def uuid_of(device: torch.device) -> str:
    """The GPU by the name that nvidia-smi knows: its own numbers pass over CUDA_VISIBLE_DEVICES."""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"


def the_gpu(target: Target) -> Figures:
    """Name, memory, compute capability, driver, clocks."""
    found: dict[str, Any] = {
        "packages": {name: installed(name) for name in PACKAGES},
        "torch": torch.__version__,
        "device": "CPU, a rehearsal",
    }
    if not target.on_gpu:
        return found
    properties = torch.cuda.get_device_properties(target.device)
    found |= {
        "device": properties.name,
        "gpus": torch.cuda.device_count(),
        "memory_bytes": properties.total_memory,
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "nccl": ".".join(map(str, torch.cuda.nccl.version())) if torch.distributed.is_nccl_available() else None,
        "architectures_of_torch": torch.cuda.get_arch_list(),
    }
    try:
        fields = (*FIELDS, *MORE_FIELDS)
        found["nvidia_smi"] = dict(zip(fields, query("gpu", fields, target.device)[0], strict=True))
    except (NotCheckedError, IndexError, ValueError) as error:
        found["nvidia_smi"] = str(error)
    return found


def alone(target: Target) -> Figures:
    """Whether other processes compute on the GPU: figures would be theirs as well."""
    target.need_gpu("processes are looked for on a GPU")
    # In a container the numbers of processes are those of the machine, and ours cannot be told by its own.
    lines = query("compute-apps", ("pid", "used_memory", "process_name"), target.device)
    others = [line for line in lines if line and line[0] != str(os.getpid())]
    free, total = torch.cuda.mem_get_info(target.device)
    return {"other_processes": [" ".join(line) for line in others], "bytes_in_use": total - free}


def arithmetic(target: Target) -> Figures:
    """A matrix product in float32, on the device, is the CPU's in float64: TF32 is off unless asked for."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(512, 512, generator=generator) for _ in range(2))
    got = (a.to(target.device) @ b.to(target.device)).cpu().double()
    wanted = a.double() @ b.double()
    error = float((got - wanted).abs().max() / wanted.abs().max())
    if not error < 1e-5:  # TF32 would leave 1e-4
        raise WrongError(f"a float32 product of 512 by 512 is off by {error:.2g} of its largest number")
    return {"relative_error": error}


def peaks(target: Target) -> Figures:
    """Bytes per second of a copy, and operations per second of matrix products."""
    target.need_gpu("peaks are those of a GPU")
    return measured_peaks(target.device)


CHECKS = (
    Check("the GPU and its software", "what every figure depends on", the_gpu),
    Check("other processes", "who else uses the GPU; named, not judged", alone),
    Check("float32 is float32", "matrix products are not rounded to TF32 unless asked for", arithmetic),
    Check("copy and matrix products", "what this GPU reaches on the two things that bound a step", peaks),
)
