"""Trainer and loader together, from shards on a disk and from the GPU's memory, and what holds them up."""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import partial
from typing import Any

from benchmarks.gpu.check import Check, Figures, NotCheckedError, Target
from benchmarks.gpu.shards import made_shards
from benchmarks.gpu.training import opened
from benchmarks.report import Spread, ratio

CLIPS, CLIP_FRAMES = 384, 661_500  # of 30 s: half a gigabyte
SECONDS = 5.0
ROUNDS = 5
AIM = 0.98  # of the bare step


def _shards(target: Target) -> Any:
    return made_shards(8, 21_500, 8000) if target.quick else made_shards(CLIPS, CLIP_FRAMES, 22050)


def _options(target: Target) -> dict[str, Any]:
    if target.quick:
        return {"batch_size": 4, "precision": "float32", "steps": 10**6}
    return {"batch_size": 96, "precision": "bf16", "fused": True, "steps": 10**6}


def run(target: Target, backend: str) -> Figures:
    """Steps on loaded batches for some seconds, with both ceilings measured before."""
    from loaders.saturation.report import Saturation
    from loaders.saturation.watch import SaturationLog
    from train.ceilings import measure_ceilings

    if target.left < 12 and not target.quick:
        raise NotCheckedError("left out: no time is left of this part's")
    begin = time.perf_counter()
    with _shards(target) as root, opened(target, root, backend=backend, **_options(target)) as trainer:
        opening = time.perf_counter() - begin
        alone = measure_ceilings(trainer)
        watch = SaturationLog(
            trainer.loader, consumer_alone=alone.consumer_alone, loader_alone=alone.loader_alone, rank=0
        )
        begin, steps = time.perf_counter(), 0
        while steps < 3 or time.perf_counter() - begin < (0.2 if target.quick else SECONDS):
            trainer.step(watch.take())
            watch.stepped()
            steps += 1
            if steps % 10 == 0:
                target.wait()  # as the log of a run reads its values, and so that the clock above sees real steps
        report = Saturation.of([watch.speeds()])
        speeds = report.slowest
        return {
            "loader": trainer.loader.description.partition(";")[0],
            "steps": steps,
            "seconds_to_open": opening,
            "views_per_second": 2 * (speeds.together or 0.0),
            "wait_share": speeds.wait_share,
            "consumer_alone_views_per_second": 2 * alone.consumer_alone if alone.consumer_alone else None,
            "loader_alone_views_per_second": 2 * alone.loader_alone.pairs_per_second if alone.loader_alone else None,
            "verdict": report.verdict.line,
        }


def against_bare(target: Target) -> Figures:
    """Trainer.step on a batch that stays in memory, in turns with the same work written out without a trainer."""
    from benchmarks.gpu.speed_steps import timed
    from benchmarks.gpu.steps import BareStep
    from loaders.saturation.measure import endless

    if target.left < 10 and not target.quick:
        raise NotCheckedError("left out: no time is left of this part's")
    options = _options(target)
    with _shards(target) as root, opened(target, root, backend="torch", **options) as trainer:
        loaded = next(endless(trainer.loader))
        way = "fused" if options.get("fused") else "eager"
        size = {"width": trainer.settings.width, "sample_rate": trainer.loader.sample_rate}
        bare = BareStep(target.device, options["precision"], way, **size)

        def without() -> None:
            bare.step(trainer.views(loaded.pcm, loaded.keys))

        rounds: dict[str, list[float]] = {"trainer": [], "bare": []}
        for _ in range(1 if target.quick else ROUNDS):
            rounds["trainer"] += timed(partial(trainer.step, loaded), target, 1)
            rounds["bare"] += timed(without, target, 1)
    rates = {name: Spread.of([2 * options["batch_size"] / each for each in found]) for name, found in rounds.items()}
    share = ratio(rates["trainer"], rates["bare"])
    return {
        "trainer_views_per_second": asdict(rates["trainer"]),
        "bare_views_per_second": asdict(rates["bare"]),
        "trainer_over_bare": asdict(share),
        "aim": AIM,
        "met": share.median >= AIM,
    }


CHECKS = (
    Check("trainer against the bare step", "the trainer's share of the device's pace", against_bare),
    Check("shards on a disk", "views per second of a run, and what holds it up", partial(run, backend="torch")),
    Check("resident", "the same with all samples in the GPU's memory", partial(run, backend="resident")),
)
