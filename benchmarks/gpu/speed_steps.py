"""Views per second of a training step: batch by precision by way, against the roofline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.check import Check, Figures, NotCheckedError, Target
from benchmarks.gpu.rooflines import Peaks, peaks_of, seconds_of
from benchmarks.gpu.steps import BareStep, views_of
from benchmarks.report import Spread

PAIRS = (96, 1024, 4096)
PRECISIONS = ("bf16", "tf32")
REPEATS = 5
SHORTEST = 0.2  # seconds of a repetition: shorter steps are timed several at a time
COMPILING = 60.0  # seconds that a compilation may take
DISTINCT = 16  # pairs; a larger batch repeats them, which takes as long
SLACK = 1.4  # the memory plan counts a first layer's gradient whole that a GPU makes in parts: what is near is tried

_paces: dict[tuple[str, str], float] = {}
"""Views per second of smaller batches, by precision and way: how long a larger one will take."""


def many_views(pairs: int, target: Target) -> Tensor:
    """Views on the device, float32 ``[2, pairs, 1, T]``."""
    some = views_of(min(pairs, DISTINCT), 8000 if target.quick else 22050).to(target.device)
    return some.repeat(1, -(-pairs // some.shape[1]), 1, 1)[:, :pairs].contiguous()


def planned_bytes(pairs: int, precision: str, way: str) -> float:
    """What ``--memory-plan`` says of a run with this batch."""
    from train.memory.plan import memory_plan
    from train.settings import PretrainSettings

    settings = PretrainSettings(
        shards=("any",), steps=1, batch_size=pairs, precision=precision, fused=way == "fused", compile=way == "compiled"
    )
    return float(memory_plan(settings, 22050, 1).needed)


@cache
def _peaks(device: torch.device) -> Peaks:
    return peaks_of(device)


def timed(function: Callable[[], object], target: Target, repeats: int) -> list[float]:
    """Seconds of a call, after some that do not count."""
    if not target.on_gpu:
        found = []
        for _ in range(repeats):
            begin = time.perf_counter()
            function()
            found.append(time.perf_counter() - begin)
        return found
    (first,) = seconds_of(function, target.device, 1)
    return seconds_of(function, target.device, repeats, together=max(1, round(SHORTEST / first)))


def case(target: Target, pairs: int, precision: str, way: str) -> Figures:
    """One of them."""
    if target.quick and way == "compiled":
        raise NotCheckedError("compiling takes too long for a quick look")
    size: dict[str, Any] = {"width": 16, "sample_rate": 8000} if target.quick else {"width": 512, "sample_rate": 22050}
    pairs = 2 if target.quick else pairs
    planned = planned_bytes(pairs, precision, way)
    found: dict[str, object] = {"pairs": pairs, "precision": precision, "way": way, "planned_bytes": planned}
    if target.on_gpu:
        total = torch.cuda.get_device_properties(target.device).total_memory
        too_much = f"the memory plan says {planned / 1e9:.0f} GB, the GPU has {total / 1e9:.0f} GB"
        if way != "compiled" and planned > SLACK * total:  # what a compiled step keeps is not planned for
            raise NotCheckedError(f"does not fit: {too_much}")
        if precision == "tf32" and torch.cuda.get_device_capability(target.device)[0] < 8:
            raise NotCheckedError("this GPU has no TF32")
    expected = 3 + 2 * pairs / _paces.get((precision, way), 2000) * (REPEATS + 8)
    if target.left < expected + (COMPILING if way == "compiled" else 0):
        raise NotCheckedError(f"left out: {target.left:.0f} s are left of this part's time")
    try:
        step = BareStep(target.device, precision, way, **size)
        views = many_views(pairs, target)
        step.step(views)
        target.wait()
        if target.on_gpu:
            torch.cuda.reset_peak_memory_stats(target.device)
        seconds = timed(partial(step.step, views), target, REPEATS)
    except torch.OutOfMemoryError as error:
        raise NotCheckedError(f"does not fit, tried: {too_much}") from error
    rates = Spread.of([2 * pairs / each for each in seconds])
    _paces[precision, way] = rates.median
    found |= {"views_per_second": asdict(rates), "step_ms": 1e3 * Spread.of(seconds).median}
    if target.on_gpu:
        peaks = _peaks(target.device)
        bound = peaks.views_per_second(precision, way)
        found |= {
            "peak_bytes": torch.cuda.max_memory_allocated(target.device),
            "roofline": peaks.source,
            "roofline_views_per_second": bound,
            "share_of_roofline": rates.median / bound,
        }
    return found


def _cases() -> list[Check]:
    """In the order of their worth: where the time runs out, the last are left out."""
    plain = [(pairs, precision, way) for pairs in PAIRS for precision in PRECISIONS for way in ("eager", "fused")]
    compiled = [(pairs, precision, "compiled") for precision in PRECISIONS for pairs in PAIRS]
    return [
        Check(
            f"{pairs} pairs, {precision}, {way}",
            "views per second of forward, loss, backward and Adam",
            partial(case, pairs=pairs, precision=precision, way=way),
        )
        for pairs, precision, way in plain + compiled
    ]


CHECKS = _cases()
