"""The least time the paper's augmentations can take on a GPU, from flops and bytes, beside that of a training step.

python -m benchmarks.bounds    writes benchmarks/results/augment-bounds.md

Counted is what the design of clmr/augment needs: every effect reads its open rows from memory and writes them back, an
FFT goes through memory twice, the kernels say themselves what they need. No credit for the second-level cache, no
launches, no gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.contenders.augment_crops import CROP_FRAMES, PAPER, SAMPLE_RATE
from benchmarks.report import RESULTS, markdown_table
from clmr.augment.freeverb import circle
from clmr.augment.kernels import freeverb, onepole
from clmr.augment.kernels.bound import H100, Device, Work
from clmr.augment.kernels.resample import resample_work
from clmr.augment.kernels.tempo import search_work, stretch_work
from clmr.augment.ratio import nearest_ratio
from clmr.augment.tempo import tempo_plan

# From the makers' data sheets, without sparsity; float32 and float64 outside the tensor cores.
DEVICES = (
    H100,
    Device("H200", bytes_per_second=4.8e12, float32_per_second=67e12, float64_per_second=34e12),
    Device("A100 80 GB", bytes_per_second=2.04e12, float32_per_second=19.5e12, float64_per_second=9.7e12),
    Device("RTX 4090", bytes_per_second=1.01e12, float32_per_second=82.6e12, float64_per_second=1.29e12),
)
BF16_PER_SECOND = {"H100 SXM": 989e12, "H200": 989e12, "A100 80 GB": 312e12, "RTX 4090": 165e12}  # tensor cores

# SampleCNN's training step for one view of 59,049 samples, bfloat16.
STEP_FLOPS = 10.36e9  # forward and backward; the first convolution passes no gradient on
STEP_BYTES = {"eager": 292e6, "fused": 141e6}
"""Memory traffic of its convolutions, batch norms, ReLUs and poolings as separate kernels, and with all but the
convolutions fused."""
SHARE_AIM = 0.05

FLOAT, COMPLEX = 4, 8  # bytes
WORK = ("float32", "float64", "memory")
CENTS = 500  # of the paper's pitch, to either side
NOISE_OPERATIONS = 60  # of a sample: two rounds of 64-bit mixing and half of a Box-Muller pair


@dataclass(frozen=True)
class Step:
    """A part of the chain."""

    name: str
    share: float
    """Of the views that it is done for; above 1 where it is done several times."""
    parts: tuple[Work, ...]
    """Kernels that run one after the other, for one view: each has a scarcest resource of its own."""

    def total(self, what: str) -> float:
        """Of one view, ``what`` a field of :class:`Work`."""
        return sum(float(getattr(part, what)) for part in self.parts)

    def seconds(self, device: Device) -> float:
        """Of one view."""
        return sum(part.seconds(device) for part in self.parts)


def pointwise(reads: float, operations: float, writes: float = 1.0) -> Work:
    """An operation on each sample that reads and writes the row so many times."""
    return Work(memory=(reads + writes) * CROP_FRAMES * FLOAT, float32=operations * CROP_FRAMES)


def pitch_parts(cents: float) -> tuple[Work, Work, Work]:
    """Search, cross-fades and resampling of one view."""
    factor = torch.tensor([2 ** (-cents / 1200)], dtype=torch.float64)
    plan = tempo_plan(factor, SAMPLE_RATE, CROP_FRAMES)
    p, q = nearest_ratio(1 / factor)
    return search_work(plan), stretch_work(plan), resample_work(p, q, int(plan.lengths[0]), CROP_FRAMES)


def _mean(same: Sequence[Work]) -> Work:
    names = ("memory", "float32", "float64")
    return Work(*(float(np.mean([getattr(work, name) for work in same])) for name in names))


def pitch_work() -> tuple[Work, ...]:
    """The mean of each part over the paper's cents."""
    every = [pitch_parts(cents) for cents in np.linspace(-CENTS, CENTS, 40).tolist()]
    return tuple(map(_mean, zip(*every, strict=True)))


def reverb_work() -> tuple[Work, ...]:
    """The damped circle's weights, an FFT there, the transfer function, an FFT back, the sum with the dry signal."""
    n_fft = circle(CROP_FRAMES, SAMPLE_RATE, torch.float32).n_fft
    # A real FFT of n points takes 2.5 n log2 n operations; too long for a multiprocessor's memory, it is two passes.
    fft = Work(memory=2 * 2 * (n_fft // 2 + 1) * COMPLEX, float32=2.5 * n_fft * float(np.log2(n_fft)))
    weights = Work(memory=float((CROP_FRAMES + n_fft) * FLOAT), float32=float(CROP_FRAMES))
    return weights, fft, freeverb.work(1, n_fft), fft, pointwise(2, 2)


def effects() -> dict[str, tuple[Work, ...]]:
    """Of each effect for one view."""
    return {
        "polarity": (pointwise(1, 1),),
        "noise": (pointwise(2, NOISE_OPERATIONS),),  # its power first
        "gain": (pointwise(1, 1),),
        "filter": (onepole.work(1, CROP_FRAMES),),
        "delay": (pointwise(2, 3),),
        "pitch": pitch_work(),
        "reverb": reverb_work(),
    }


def chain_steps() -> tuple[Step, ...]:
    """The paper's chain on a batch of 16-bit crops."""
    works = effects()
    opened = sum(PAPER.values())
    return (
        Step("16 bits to floats", 1.0, (Work(memory=CROP_FRAMES * (2.0 + FLOAT), float32=2.0 * CROP_FRAMES),)),
        # index_select before an effect and index_copy_ after it: a row is read and written by each.
        Step("open rows out and in", opened, (pointwise(2, 0, writes=2),)),
        *(Step(name, probability, works[name]) for name, probability in PAPER.items()),
    )


def chain_seconds(steps: Sequence[Step], device: Device) -> float:
    """Of a view, by probability."""
    return sum(step.share * step.seconds(device) for step in steps)


def training_seconds(device: Device, traffic: str) -> float:
    """The least time of a view's training step, ``traffic`` one of :data:`STEP_BYTES`."""
    return max(STEP_BYTES[traffic] / device.bytes_per_second, STEP_FLOPS / BF16_PER_SECOND[device.name])


def steps_table(steps: Sequence[Step]) -> str:
    """Work and least time of each part, as Markdown."""
    rows = []
    for step in steps:
        work = [f"{step.total(what) / 1e6:.2f}" for what in WORK]
        times = [f"{1e6 * step.seconds(device):.3f}" for device in DEVICES]
        rows.append([step.name, f"{step.share:.2f}", *work, *times])
    work = [f"{sum(step.share * step.total(what) for step in steps) / 1e6:.2f}" for what in WORK]
    total = [f"**{1e6 * chain_seconds(steps, device):.2f}**" for device in DEVICES]
    rows.append(["**the chain, by probability**", "", *work, *total])
    return markdown_table(
        ["of a view", "times", "MFLOP float32", "float64", "MB", *(f"{device.name}, us" for device in DEVICES)], rows
    )


def training_table(steps: Sequence[Step]) -> str:
    """The chain beside the training step, as Markdown."""
    rows = []
    for device in DEVICES:
        chain = chain_seconds(steps, device)
        row = [device.name, f"{1 / chain:,.0f}"]
        for traffic in STEP_BYTES:
            step = training_seconds(device, traffic)
            row += [f"{1 / step:,.0f}", f"{chain / step:.1%}"]
        rows.append(row)
    header = ["at most", "views/s of the chain"]
    for traffic in STEP_BYTES:
        header += [f"views/s of training, {traffic}", "the chain's share"]
    return markdown_table(header, rows)


def page() -> str:
    """Everything, as Markdown."""
    steps = chain_steps()
    return (
        "# Bounds of the augmentations on a GPU\n\n"
        f"{steps_table(steps)}\n{training_table(steps)}\n"
        f"Computed, not measured. A view has {CROP_FRAMES} samples at {SAMPLE_RATE} Hz. The time of a "
        "kernel is that of its scarcest resource: memory, float32 or float64 outside the tensor cores, at the data "
        "sheet's rate, with every multiprocessor busy; pitch and reverb are several kernels. Pitch is the mean over "
        f"+-{CENTS} cents. Training is a step of SampleCNN in bfloat16, {STEP_FLOPS / 1e9:.2f} GFLOP a view, with "
        + " and ".join(f"{size / 1e6:.0f} MB a view ({traffic})" for traffic, size in STEP_BYTES.items())
        + f"; the aim for the chain is {SHARE_AIM:.0%} of it. Made by `python -m benchmarks.bounds`.\n"
    )


def write(folder: Path = RESULTS) -> Path:
    """Write the page."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "augment-bounds.md"
    path.write_text(page())
    return path


if __name__ == "__main__":
    print(f"written to {write()}")
