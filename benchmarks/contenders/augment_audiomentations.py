"""audiomentations: one view at a time in NumPy.

Runs in an environment of its own, see benchmarks/requirements-augment-peers.txt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from benchmarks.contenders.augment_crops import SAMPLE_RATE, Effects, load_crops, only
from benchmarks.contenders.augment_running import in_batches, one_by_one

VIEWS = 16  # of a batch: few, so that a turn ends soon after its time
EFFECTS = ("polarity", "noise", "gain", "filter", "pitch", "reverb")


def transforms(responses: str) -> dict[str, Callable[[float], Any]]:
    """What makes each effect, of its probability."""
    library = import_module("audiomentations")

    def one_filter(p: float) -> Any:
        rolloff = {"min_rolloff": 6, "max_rolloff": 6, "p": 1.0}
        low = library.LowPassFilter(min_cutoff_freq=2200.0, max_cutoff_freq=4000.0, **rolloff)
        high = library.HighPassFilter(min_cutoff_freq=200.0, max_cutoff_freq=1200.0, **rolloff)
        return library.OneOf([low, high], p=p)

    return {
        "polarity": lambda p: library.PolarityInversion(p=p),
        "noise": lambda p: library.AddGaussianSNR(min_snr_db=80.0, max_snr_db=80.0, p=p),
        "gain": lambda p: library.Gain(min_gain_db=-6.0, max_gain_db=0.0, p=p),
        "filter": one_filter,
        "pitch": lambda p: library.PitchShift(min_semitones=-5.0, max_semitones=5.0, p=p),
        "reverb": lambda p: library.ApplyImpulseResponse(ir_path=responses, p=p),
    }


def views(crops: str, effects: Effects, workers: int, responses: str) -> Iterator[int]:
    """The library's Compose with the paper's ranges in a worker process per core; one effect alone in this process.

    PitchShift by its default, signalsmith_stretch; reverb is ApplyImpulseResponse with 32 ready-made responses of
    noise, kept in its cache; the filters fall by 6 dB per octave; it has no delay.
    """
    make = transforms(responses)
    kept = only(effects, EFFECTS)
    chain = import_module("audiomentations").Compose([make[name](p) for name, p in kept.items()])

    def view(row: Tensor) -> Tensor:
        return torch.from_numpy(chain(samples=row[0].numpy(), sample_rate=SAMPLE_RATE))[None]

    return in_batches(load_crops(crops), one_by_one(view), kept, batch=VIEWS, workers=workers)
