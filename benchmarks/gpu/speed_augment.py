"""Views per second of the augmentations, and their share of a training step, by benchmarks/augment_device.py."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import torch

from benchmarks.gpu.check import Check, Figures, NotCheckedError, Target

PAIRS = (96, 512)
REPEATS = 10


def batch(target: Target, pairs: int) -> Figures:
    """The paper's chain from 16-bit crops to views, beside a step in bfloat16 that is not compiled."""
    from benchmarks.augment_device import WARM_UP, Clock, Sizes, chain_times, training_times
    from benchmarks.bounds import SHARE_AIM, chain_seconds, chain_steps
    from benchmarks.contenders.augment_crops import PAPER, SAMPLE_RATE
    from benchmarks.gpu.sheets import sheet_of
    from clmr.augment import Chain

    chain = Chain.preset("paper", SAMPLE_RATE).with_probability(PAPER)
    pairs, repeats = (2, 1) if target.quick else (pairs, REPEATS)
    clock = Clock(target.device)
    views = chain_times(clock, chain, pairs, repeats, target.device)
    found: dict[str, object] = {
        "pairs": pairs,
        "views_per_second": 2e3 * pairs / views.device.median,
        "with_calls": 2e3 * pairs / views.call.median,
        "chain_ms": asdict(views.device),
    }
    if target.on_gpu and (sheet := sheet_of(torch.cuda.get_device_name(target.device))) is not None:
        found["bound_views_per_second"] = 1 / chain_seconds(chain_steps(), sheet)
    if target.left < 2 * pairs / 2000 * (WARM_UP + 2 * repeats):
        return found | {"share": "the step was left out: no time"}
    try:
        step = training_times(
            clock, pairs, Sizes(width=16 if target.quick else 512, repeats=max(1, repeats // 2)), target.device
        )
    except torch.OutOfMemoryError:
        return found | {"share": "the step does not fit the GPU"}
    share = views.device.median / step.device.median
    return found | {"step_ms": asdict(step.device), "share": share, "aim": SHARE_AIM, "met": share <= SHARE_AIM}


def effects(target: Target) -> Figures:
    """Each effect alone, on a chunk of rows, against its bound."""
    from benchmarks.augment_device import REHEARSAL, Clock, Sizes, effect_times
    from benchmarks.bounds import chain_steps
    from benchmarks.contenders.augment_crops import PAPER, SAMPLE_RATE
    from benchmarks.gpu.sheets import sheet_of
    from clmr.augment import Chain

    if target.left < 5:
        raise NotCheckedError("left out: no time is left of this part's")
    sizes = REHEARSAL if target.quick else Sizes(repeats=REPEATS)
    chain = Chain.preset("paper", SAMPLE_RATE).with_probability(PAPER)
    times = effect_times(Clock(target.device), chain, sizes, target.device)
    sheet = sheet_of(torch.cuda.get_device_name(target.device)) if target.on_gpu else None
    bounds = {step.name: step.seconds(sheet) for step in chain_steps()} if sheet is not None else {}
    return {
        name: {
            "us_a_view": 1e3 * each.device.median / sizes.effect_rows,
            "of_the_bound": each.device.median / (1e3 * sizes.effect_rows * bounds[name]) if bounds else None,
        }
        for name, each in times.items()
    }


CHECKS = (
    *(
        Check(
            f"the paper's chain, {pairs} pairs",
            "views per second, and the share of a training step",
            partial(batch, pairs=pairs),
        )
        for pairs in PAIRS
    ),
    Check("each effect", "microseconds a view, and how far from its bound", effects),
)
