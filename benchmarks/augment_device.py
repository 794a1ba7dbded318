"""The paper's augmentations on a GPU: views per second, each effect against its bound, the share of a training step.

python -m benchmarks.augment --device cuda    under 2 minutes; writes benchmarks/results/augment-GPU-MACHINE.{json,md}
python -m benchmarks.augment --rehearse       the same code, small, on the CPU; writes nothing
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from benchmarks.augment_check import ROWS, CheckError, check_effects, check_matches, check_no_wait
from benchmarks.bounds import DEVICES, SHARE_AIM, Step, chain_seconds, chain_steps
from benchmarks.contenders.augment_crops import CROP_FRAMES, PAPER, SAMPLE_RATE, check_views
from benchmarks.report import Spread, markdown_table, write_results
from clmr import ContrastiveModel, Projector, SampleCNN, draw, nt_xent_loss
from clmr.augment import Chain, Views, from_int16
from clmr.augment.kernels.bound import Device

WARM_UP = 10  # the first calls compile, and pin memory of every size
AHEAD = 8192  # size of the matrix product that keeps the device busy while a call is enqueued


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    effect_rows: int = 256
    """Rows of one effect: a chunk of the chain."""
    pairs: tuple[int, ...] = (96, 512)
    check_frames: int = CROP_FRAMES
    """Samples of a row when results are compared with the CPU's."""
    width: int = 512
    repeats: int = 20


REHEARSAL = Sizes(check_frames=6000, effect_rows=4, pairs=(2,), width=16, repeats=1)


@dataclass(frozen=True)
class Times:
    """Milliseconds of a call."""

    device: Spread
    """From the first to the last of its kernels, with all of them enqueued before."""
    call: Spread
    """From the call until the device is done, nothing enqueued before."""


class Clock:
    """Takes the time of calls on a device: CUDA events on a GPU; on the CPU both times are the call's."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._busy = torch.randn(AHEAD, AHEAD, device=device) if device.type == "cuda" else None

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def _call(self, function: Callable[[], object]) -> float:
        self._wait()
        begin = time.perf_counter()
        function()
        self._wait()
        return 1000 * (time.perf_counter() - begin)

    def _on_device(self, function: Callable[[], object]) -> float:
        if self._busy is None:
            return self._call(function)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        for _ in range(4):  # tens of milliseconds, in which the host enqueues the call
            torch.mm(self._busy, self._busy)
        begin.record()
        function()
        end.record()
        self._wait()
        return float(begin.elapsed_time(end))

    def times(self, function: Callable[[], object], repeats: int) -> Times:
        """Of a function, after calls that do not count."""
        for _ in range(WARM_UP if self._busy is not None else 1):
            function()
        on_device = [self._on_device(function) for _ in range(repeats)]
        return Times(Spread.of(on_device), Spread.of([self._call(function) for _ in range(repeats)]))


def music(rows: int, device: torch.device) -> Tensor:
    """16-bit crops on the device, ``[rows, T]``: three tones and noise, no two rows alike."""
    chance = np.random.default_rng(0)
    n = np.arange(CROP_FRAMES) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * n * hz) for hz in chance.uniform(100, 2000, (3, rows, 1)))
    audio = 0.15 * tones + 0.02 * chance.standard_normal((rows, CROP_FRAMES))
    return torch.from_numpy(np.rint(audio.clip(-1, 1) * 32767).astype(np.int16)).to(device)


def keys(number: int, rows: int) -> Tensor:
    """The draw keys of a batch, on the host."""
    return torch.from_numpy(draw.make_keys(0, number, np.arange(rows), (0,))[:, 0])


def effect_times(clock: Clock, chain: Chain, sizes: Sizes, device: torch.device) -> dict[str, Times]:
    """Each effect alone, on every row of a chunk."""
    audio = from_int16(music(sizes.effect_rows, device))
    found = {}
    for operation in chain.operations:
        columns = operation.draw(keys(0, len(audio)))
        with torch.no_grad():
            after = operation.apply(audio, columns, chain.sample_rate)
            check_views(audio.cpu().numpy(), after.cpu().numpy(), {operation.name: 1.0})
            found[operation.name] = clock.times(
                partial(operation.apply, audio, columns, chain.sample_rate), sizes.repeats
            )
    return found


def chain_times(clock: Clock, chain: Chain, pairs: int, repeats: int, device: torch.device) -> Times:
    """A batch from 16 bits to views: tables drawn anew every time, as training does."""
    views, pcm = Views(chain, chain), music(2 * pairs, device).view(pairs, 2, -1)
    number = iter(range(1 << 30))
    return clock.times(lambda: views(pcm, keys(next(number), 2 * pairs).view(pairs, 2)), repeats)


def training_times(clock: Clock, pairs: int, sizes: Sizes, device: torch.device) -> Times:
    """Forward, NT-Xent, backward and Adam, in bfloat16 autocast."""
    model = ContrastiveModel(SampleCNN(SAMPLE_RATE, sizes.width), Projector(sizes.width, out=128)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    views = from_int16(music(2 * pairs, device)).view(2, pairs, 1, -1)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16):
            z = model(views)
        nt_xent_loss(z[0].float(), z[1].float()).backward()
        optimizer.step()

    return clock.times(step, sizes.repeats)


def sheet_of(name: str) -> Device | None:
    """The data sheet of the GPU with this name; None where there is none here."""
    words = set(re.findall(r"[a-z]*\d+", name.lower()))
    fitting = [each for each in DEVICES if set(re.findall(r"[a-z]*\d+", each.name.lower())[:1]) <= words]
    return fitting[0] if fitting else None


def _milliseconds(spread: Spread) -> str:
    return f"{spread.median:.3f} ({spread.lowest:.3f} - {spread.highest:.3f})"


def effects_table(found: dict[str, Times], steps: Sequence[Step], rows: int, sheet: Device | None) -> str:
    """Each effect beside its bound, as Markdown."""
    lines = []
    for step in steps:
        if step.name not in found:
            continue
        times = found[step.name]
        bound = 1e3 * rows * step.seconds(sheet) if sheet else float("nan")
        lines.append(
            [
                step.name,
                _milliseconds(times.device),
                _milliseconds(times.call),
                f"{1e3 * times.device.median / rows:.3f}",
                f"{bound:.3f}" if sheet else "-",
                f"{times.device.median / bound:.1f}x" if sheet else "-",
            ]
        )
    header = [f"{rows} rows, ms", "on the device", "the call", "us a view", "bound, ms", "of the bound"]
    return markdown_table(header, lines)


def batches_table(found: dict[int, tuple[Times, Times]], steps: Sequence[Step], sheet: Device | None) -> str:
    """The chain beside a training step, as Markdown."""
    lines = []
    for pairs, (chain, training) in found.items():
        share = chain.device.median / training.device.median
        lines.append(
            [
                f"{pairs} pairs",
                f"{2e3 * pairs / chain.device.median:,.0f}",
                f"{2e3 * pairs / chain.call.median:,.0f}",
                f"{1 / chain_seconds(steps, sheet):,.0f}" if sheet else "-",
                _milliseconds(chain.device),
                _milliseconds(training.device),
                f"{share:.1%}",
                "met" if share <= SHARE_AIM else "missed",
            ]
        )
    header = ["", "views/s of the chain", "with its calls", "bound", "chain, ms", "training step, ms", "share"]
    return markdown_table([*header, f"aim {SHARE_AIM:.0%}"], lines)


def values_of(times: Times) -> dict[str, Any]:
    """For JSON."""
    return {"device_ms": times.device.rounds, "call_ms": times.call.rounds}


def run(device_name: str, *, rehearse: bool, quick: bool) -> None:
    """Measure and, unless it is a rehearsal or a quick look, write the results."""
    if device_name == "cuda" and not torch.cuda.is_available():
        raise click.ClickException("--device cuda: there is no GPU here; --rehearse runs the same code on the CPU")
    device, sizes = torch.device(device_name), REHEARSAL if rehearse else Sizes(repeats=5 if quick else 20)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU, a rehearsal"
    sheet, steps, clock = sheet_of(gpu), chain_steps(), Clock(device)
    chain = Chain.preset("paper", SAMPLE_RATE)
    if lacking := set(PAPER) - {operation.name for operation in chain.operations}:
        raise click.ClickException(f"the paper preset has no {', '.join(sorted(lacking))}")
    chain = chain.with_probability(PAPER)
    try:
        ratios = check_effects(chain, device, sizes.check_frames)
        check_matches(device, sizes.check_frames)
        check_no_wait(Views(chain, chain), music(16, device).view(8, 2, -1))
    except CheckError as error:
        raise click.ClickException(f"{gpu}: {error}") from error
    singles = effect_times(clock, chain, sizes, device)
    batches = {
        pairs: (
            chain_times(clock, chain, pairs, sizes.repeats, device),
            training_times(clock, pairs, sizes, device),
        )
        for pairs in sizes.pairs
    }
    body = (
        f"{batches_table(batches, steps, sheet)}\n{effects_table(singles, steps, sizes.effect_rows, sheet)}\n"
        f"{gpu}. Views of {CROP_FRAMES} samples at {SAMPLE_RATE} Hz; the chain from 16-bit crops on the device to "
        f"float32 views, tables drawn anew every time. Times are CUDA events around kernels that were all enqueued "
        f"before, so without the host; 'the call' is from the call to the end of its work, with the host. Training is "
        f"forward, NT-Xent, backward and Adam of SampleCNN, bfloat16 autocast, not compiled. Median "
        f"(lowest - highest) of {sizes.repeats}. Bounds as in augment-bounds.md.\n\n"
    )
    found = ", ".join(f"{name} {ratio:.0f}" for name, ratio in ratios.items())
    body += (
        f"Against the CPU in float64, the worst of {max(ROWS)} hard rows in decibels: {found}. "
        "All matches are equal.\n\n"
    )
    click.echo(f"\n{body}")
    if not (rehearse or quick):
        values = {
            "gpu": gpu,
            "ratios_db": ratios,
            "effects": {name: values_of(times) for name, times in singles.items()},
            "batches": {
                pairs: {"chain": values_of(chain), "training": values_of(training)}
                for pairs, (chain, training) in batches.items()
            },
        }
        slug = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
        others = {"cuda": str(torch.version.cuda)}
        page = write_results(
            f"augment-{slug}", f"Augmentations on {gpu}", body, values, ("torch", "triton"), others=others
        )
        click.echo(f"written to {page}")
