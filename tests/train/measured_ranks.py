"""Started under torchrun: one run with its ceilings measured and one without, for test_ceilings.py to compare.

The clocks of the ranks disagree, so a rank that decided by its own would take another number of steps than the others,
and all would wait for it for ever.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch

from loaders.saturation.watch import SaturationLog
from tests.train.test_trainer import settings
from train import ceilings
from train.ranks.launch import Place, placed
from train.trainer import Trainer

BEFORE, AFTER = 2, 3  # steps of a run around the measurement


def run(shards: Path, place: Place, *, measured: bool) -> dict[str, object]:
    """Train, and give the state at the end and the saturation report."""
    trainer = Trainer(settings(shards, steps=100_000), place)
    with trainer.loader:
        found = ceilings.Ceilings()
        log = SaturationLog(trainer.loader, rank=place.rank)
        for step in range(BEFORE + AFTER):
            if step == BEFORE and measured:
                found = ceilings.measure_ceilings(trainer)
                log = SaturationLog(
                    trainer.loader,
                    consumer_alone=found.consumer_alone,
                    loader_alone=found.loader_alone,
                    rank=place.rank,
                )
            trainer.step(log.take())
            log.stepped()
        return {"state": trainer.state(), "report": ceilings.gather(log.speeds()).to_json()}


def main() -> None:
    """Arguments: folder of shards, file to write."""
    real, begin = time.perf_counter, time.perf_counter()
    ceilings.AT_MOST = 0.2  # a bound that decides here how many steps are tried
    factor = 1 + 3 * int(os.environ["RANK"])
    ceilings.time.perf_counter = lambda: begin + factor * (real() - begin)  # type: ignore[attr-defined]
    shards, target = Path(sys.argv[1]), Path(sys.argv[2])
    with placed("cpu", 1) as place:
        outcome = {name: run(shards, place, measured=name == "measured") for name in ("plain", "measured")}
        if place.first:
            torch.save(outcome, target)


if __name__ == "__main__":
    main()
