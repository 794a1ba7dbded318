"""The effects of the official code: torchaudio-augmentations with WavAugment, so libsox inside the process.

Runs in an environment of its own, see benchmarks/requirements-official.txt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import torch

from benchmarks.contenders.augment_crops import CROP_FRAMES, SAMPLE_RATE, Audio, Effects, load_crops, snr_db
from benchmarks.contenders.augment_running import in_batches, one_by_one
from benchmarks.contenders.augment_sox import run_sox

EFFECTS = ("polarity", "noise", "gain", "filter", "delay", "pitch", "reverb")
VIEWS = 16  # of a batch: few, so that a turn ends soon after its time
LEAST_SNR = 80.0  # dB against the sox program, the same library


def transforms() -> dict[str, Callable[[], Any]]:
    """What makes each effect, with the paper's ranges."""
    official = import_module("torchaudio_augmentations")
    return {
        "polarity": official.PolarityInversion,
        "noise": lambda: official.Noise(min_snr=1e-4, max_snr=1e-4),
        "gain": lambda: official.Gain(min_gain=-6.0, max_gain=0.0),
        "filter": lambda: official.HighLowPass(SAMPLE_RATE),
        "delay": lambda: official.Delay(SAMPLE_RATE, max_delay=501),
        "pitch": lambda: official.PitchShift(CROP_FRAMES, SAMPLE_RATE, pitch_shift_min=-5.0, pitch_shift_max=5.0),
        "reverb": lambda: official.Reverb(SAMPLE_RATE, 0, 101, 0, 101, 0, 101),
    }


def compare_with_sox(crop: Audio) -> None:
    """Its pitch and its reverb are those of the sox program.

    Raises:
        ValueError: they are not.
    """
    chain = import_module("augment").EffectChain
    cases = (
        (chain().pitch(300).rate(SAMPLE_RATE), ["pitch", "300", "rate", str(SAMPLE_RATE)]),
        (chain().reverb(60, 40, 80).channels(1), ["reverb", "60", "40", "80", "channels", "1"]),
    )
    for effect, arguments in cases:
        target = {"channels": 1, "length": CROP_FRAMES, "rate": SAMPLE_RATE}
        got = effect.apply(torch.from_numpy(crop)[None], src_info={"rate": SAMPLE_RATE}, target_info=target)
        expected = run_sox(crop, arguments)
        found = snr_db(np.resize(got[0].numpy(), CROP_FRAMES), np.resize(expected, CROP_FRAMES))
        if found < LEAST_SNR:
            raise ValueError(f"{arguments[0]} is {found:.0f} dB from the sox program's, not {LEAST_SNR:.0f}")


def views(crops: str, effects: Effects, workers: int) -> Iterator[int]:
    """torchaudio-augmentations 0.2.4 and WavAugment 0.2 on torch 2.0.1, its RandomApply around each effect.

    A worker process per core, as its DataLoader has them, batches of 16 views; with one effect alone in this process
    instead. The paper's ranges are set where the classes take them; pitch is in whole cents, reverb in whole percents,
    the filter is a steep FIR. Its pitch and reverb were compared with the sox program's before.
    """
    official, make = import_module("torchaudio_augmentations"), transforms()
    chain = official.Compose([official.RandomApply([make[name]()], p=p) for name, p in effects.items()])

    pcm = load_crops(crops)
    if {"pitch", "reverb"} & set(effects):
        compare_with_sox(pcm[0])
    return in_batches(pcm, one_by_one(chain), effects, batch=VIEWS, workers=workers)
