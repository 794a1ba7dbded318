"""The bounds follow from the sizes of the paper's chain and the devices' data sheets."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks import bounds
from benchmarks.contenders.augment_crops import CROP_FRAMES, PAPER
from benchmarks.report import RESULTS
from clmr.augment.kernels.bound import H100, Work
from clmr.augment.resample import HALF


def test_a_pointwise_effect_is_bound_by_memory() -> None:
    work = bounds.pointwise(1, 1)
    assert work == Work(memory=8 * CROP_FRAMES, float32=CROP_FRAMES)
    assert work.seconds(H100) == pytest.approx(8 * CROP_FRAMES / 3.35e12)


def test_pitch_five_semitones_up() -> None:
    """The stretched row has T 2^(5/12) = 78,821 samples, in 52 segments of 1,544, all but one searched."""
    search, stretch, resampling = bounds.pitch_parts(500)
    stretched = round(CROP_FRAMES * 2 ** (5 / 12))
    assert math.ceil(stretched / 1544) == 52
    assert search.float32 == 3 * 51 * 324 * 264
    assert stretch.memory == pytest.approx(4 * (CROP_FRAMES + stretched), abs=8)
    taps = 2 * math.ceil(HALF * 2 ** (5 / 12))  # zero crossings of the lower rate, on each side
    assert resampling.float32 == 2 * taps * CROP_FRAMES
    down = bounds.pitch_parts(-500)
    assert down[2].float32 == 2 * 2 * HALF * CROP_FRAMES
    mean = bounds.pitch_work()
    for number in range(3):
        assert down[number].float32 < mean[number].float32 < (search, stretch, resampling)[number].float32


def test_reverb_is_mostly_memory() -> None:
    parts = bounds.reverb_work()
    points = parts[0].memory / 4 - CROP_FRAMES
    assert CROP_FRAMES <= points < 1.3 * CROP_FRAMES, "the FFT is no longer than it has to be"
    # The FFT goes through n / 2 complex numbers twice, and reads and writes them.
    assert parts[1] == parts[3]
    assert parts[1].memory == pytest.approx(16 * points, rel=1e-3)
    seconds = [part.seconds(H100) for part in parts]
    assert seconds[2] > parts[2].memory / H100.bytes_per_second, "its transfer function is arithmetic"


def test_the_chain_is_weighted_by_probability() -> None:
    steps = {step.name: step for step in bounds.chain_steps()}
    assert {name: steps[name].share for name in PAPER} == PAPER
    assert steps["open rows out and in"].share == pytest.approx(3.11)
    whole = bounds.chain_seconds(tuple(steps.values()), H100)
    assert whole == pytest.approx(sum(step.share * step.seconds(H100) for step in steps.values()))
    assert 1e-6 < whole < 3e-6


def test_training_is_bound_by_memory_or_by_tensor_cores() -> None:
    assert bounds.training_seconds(H100, "fused") == pytest.approx(141e6 / 3.35e12)
    slow = {"H100 SXM": 1e12}
    before = dict(bounds.BF16_PER_SECOND)
    try:
        bounds.BF16_PER_SECOND.update(slow)
        assert bounds.training_seconds(H100, "fused") == pytest.approx(10.36e9 / 1e12)
    finally:
        bounds.BF16_PER_SECOND.update(before)
    assert {device.name for device in bounds.DEVICES} == set(before)


def test_the_page_is_the_one_in_the_results(tmp_path: Path) -> None:
    assert bounds.write(tmp_path).read_text() == (RESULTS / "augment-bounds.md").read_text(), (
        "run python -m benchmarks.bounds"
    )
