"""torch-audiomentations: batches of tensors.

Runs in an environment of its own, see benchmarks/requirements-augment-peers.txt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from torch import Tensor

from benchmarks.contenders.augment_crops import SAMPLE_RATE, Effects, load_crops, only
from benchmarks.contenders.augment_running import in_batches

VIEWS = 16  # of a batch
EFFECTS = ("polarity", "noise", "gain", "filter", "pitch", "reverb")


def transforms(responses: str) -> dict[str, Callable[[float], Any]]:
    """What makes each effect, of its probability."""
    library = import_module("torch_audiomentations")

    def made(name: str, p: float, **options: Any) -> Any:
        rows = {"mode": "per_example", "p_mode": "per_example", "p": p, "sample_rate": SAMPLE_RATE}
        return getattr(library, name)(**rows, output_type="dict", **options)

    def one_filter(p: float) -> Any:
        low = made("LowPassFilter", p, min_cutoff_freq=2200.0, max_cutoff_freq=4000.0)
        high = made("HighPassFilter", p, min_cutoff_freq=200.0, max_cutoff_freq=1200.0)
        return library.OneOf([low, high], output_type="dict")

    white = {"min_snr_in_db": 80.0, "max_snr_in_db": 80.0, "min_f_decay": 0.0, "max_f_decay": 0.0}
    semitones = {"min_transpose_semitones": -5.0, "max_transpose_semitones": 5.0}
    return {
        "polarity": lambda p: made("PolarityInversion", p),
        "noise": lambda p: made("AddColoredNoise", p, **white),
        "gain": lambda p: made("Gain", p, min_gain_in_db=-6.0, max_gain_in_db=0.0),
        "filter": one_filter,
        "pitch": lambda p: made("PitchShift", p, **semitones),
        "reverb": lambda p: made("ApplyImpulseResponse", p, ir_paths=responses),
    }


def views(crops: str, effects: Effects, responses: str, threads: int = 1, workers: int = 0) -> Iterator[int]:
    """The library's Compose on batches of 16, mode and p_mode per_example, with the paper's ranges.

    OneOf takes low-pass or high-pass for a whole batch, both steep windowed sincs; pitch is one of the library's few
    fast ratios within +-5 semitones; reverb is ApplyImpulseResponse with 32 ready-made responses of noise, which it
    reads from their files each time; it has no delay.
    """
    make = transforms(responses)
    kept = only(effects, EFFECTS)
    chain = import_module("torch_audiomentations").Compose(
        [make[name](p) for name, p in kept.items()], output_type="dict"
    )

    def apply(audio: Tensor) -> Tensor:
        made: Tensor = chain(audio, sample_rate=SAMPLE_RATE).samples
        return made

    return in_batches(load_crops(crops), apply, kept, batch=VIEWS, threads=threads, workers=workers)
