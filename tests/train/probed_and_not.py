"""The same training without and with a probe, by all ranks of one torchrun: ``probed_and_not.py SHARDS FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from train.pretrain import train
from train.ranks.launch import placed
from train.runs.preempt import StopRequest
from train.settings import PretrainSettings
from train.trainer import Trainer


def main(shards: str, folder: Path) -> None:
    """Train twice."""
    settings = PretrainSettings(shards=(shards,), width=16, projection=8, batch_size=8, steps=7)
    with placed("cpu", 1) as place, StopRequest() as stop:
        for name, probe_every in (("plain", 0), ("probed", 1)):
            trainer = Trainer(settings, place)
            with trainer.loader:
                train(trainer, folder / name, 100, stop, ceilings=False, probe_every=probe_every)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
