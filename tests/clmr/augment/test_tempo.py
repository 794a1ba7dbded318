"""The stretch of ``tempo`` against the sox program and against its search written out in whole numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clmr.augment.tempo import BITS, TempoPlan, search_offsets, stretch, tempo_plan
from clmr.errors import ConfigError
from tests.clmr.augment.music import music
from tests.clmr.augment.signals import RATES, extremes, noise, sox, tone
from tests.tolerances import FLOAT32_FADE, SOX_TEMPO_DB

FACTORS = (1.33484, 1.1225, 1.00058, 0.94387, 0.749154)  # of shifts of -500, -200, -1, 100 and 500 cents


def plan_of(factors: list[float], sample_rate: int, frames: int) -> TempoPlan:
    return tempo_plan(torch.tensor(factors, dtype=torch.float64), sample_rate, frames)


def tempo(audio: Tensor, factor: float, sample_rate: int) -> tuple[Tensor, TempoPlan]:
    """One row ``[1, 1, T]`` stretched, ``[length]``."""
    plan = plan_of([factor], sample_rate, audio.shape[2])
    return stretch(audio[0], plan, search_offsets(audio[0], plan))[0], plan


def signal_to_error_db(got: Tensor, expected: Tensor) -> float:
    error = (got.double() - expected).square().sum().clamp(min=1e-30)
    return 10 * math.log10(expected.square().sum() / error)


@pytest.mark.needs("sox")
@pytest.mark.parametrize("sample_rate", [*RATES, 11025])
def test_equals_sox(sample_rate: int, tmp_path: Path) -> None:
    """Segments chosen as sox does are its output; and nearly all are."""
    frames = 30_000
    signals = [music(seed, sample_rate, frames) for seed in range(3)]
    signals += [0.5 * noise(1, frames), 0.5 * tone(61.7, sample_rate, frames).float()]
    agreeing = total = 0
    for audio in signals:
        for factor in FACTORS:
            got, plan = tempo(audio, factor, sample_rate)
            expected = sox(audio, sample_rate, tmp_path, "tempo", str(factor))[0, 0]
            assert got.shape == expected.shape
            whole = len(got) // plan.step * plan.step
            # Past its cross-fade a segment is a plain copy: any other offset is far off.
            theirs, ours = (each[:whole].view(-1, plan.step) for each in (expected, got.double()))
            agree = (ours - theirs)[:, plan.overlap :].abs().amax(dim=1) < 1e-6
            agreeing, total = agreeing + int(agree.sum()), total + len(agree)
            # A cross-fade begins with the segment before.
            both = agree & torch.cat([torch.tensor([True]), agree[:-1]])
            assert signal_to_error_db(ours[both], theirs[both]) > SOX_TEMPO_DB
    assert total > 400 if sample_rate == 22050 else total > 200
    assert agreeing / total > 0.95


@pytest.mark.needs("sox")
def test_matches_what_is_quiet_beside_the_peak(tmp_path: Path) -> None:
    """White noise 60 dB below the music after it: 9 bits of it are compared."""
    quiet, loud = noise(1, 15_000, seed=5), music(0, 8000, 5000)
    quiet *= 1e-3 * loud.abs().max() / quiet.abs().max()
    audio = torch.cat([quiet, loud], dim=2)
    for factor in FACTORS:
        got, _ = tempo(audio, factor, 8000)
        expected = sox(audio, 8000, tmp_path, "tempo", str(factor))[0, 0]
        inside = int(15_000 / factor) - 656  # a segment
        assert (got - expected)[:inside].abs().max() < 0.01 * quiet.abs().max()


def test_any_default_device() -> None:
    """What is small and on the host stays there."""
    audio = noise(2, 5000)[:, 0]
    plan = plan_of([0.8, 1.25], 8000, 5000)
    expected = stretch(audio, plan, search_offsets(audio, plan))
    factors = torch.tensor([0.8, 1.25], dtype=torch.float64)
    with torch.device("meta"):
        plan = tempo_plan(factors, 8000, 5000)
        assert torch.equal(stretch(audio, plan, search_offsets(audio, plan)), expected)


@pytest.mark.needs("sox")
def test_breaks_ties_as_sox_does(tmp_path: Path) -> None:
    """Silence, a constant, a square wave, clicks and the Nyquist tone: many positions are equally good."""
    for audio in extremes(10_000)[:5, None]:
        for factor in (1.2, 0.8):
            got, _ = tempo(audio, factor, 22050)
            expected = sox(audio, 22050, tmp_path, "tempo", str(factor))[0, 0]
            assert (got - expected).abs().max() < 1e-6


def offsets_by_hand(x: Tensor, plan: TempoPlan, row: int) -> list[int]:
    """The search as it is defined, in whole numbers of any size."""
    exponent = BITS - math.frexp(x.abs().max().item())[1]
    w = np.array([round(math.ldexp(v, exponent)) for v in x.tolist()], dtype=np.int64)
    before = plan.search // 2
    w = np.concatenate([np.zeros(before, np.int64), w, np.zeros(plan.search + plan.segment, np.int64)])
    starts = (plan.starts[row] + before).tolist()
    offsets = [before]
    for s in range(1, int(plan.count[row])):
        tail = w[starts[s - 1] + offsets[-1] + plan.step :][: plan.overlap]
        window = w[starts[s] : starts[s] + plan.search + plan.overlap - 1]
        candidates = np.lib.stride_tricks.sliding_window_view(window, plan.overlap)
        offsets.append(int(np.argmin(((candidates - tail) ** 2).sum(axis=1))))
    return offsets


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sample_rate", [48000, *RATES])
def test_search_is_exact(sample_rate: int, dtype: torch.dtype) -> None:
    """To the last of the whole numbers, though by FFT: full scale, quiet, many ties."""
    frames = sample_rate // 2
    audio = torch.cat([noise(3, frames), music(0, sample_rate, frames), extremes(frames), 1e-30 * noise(1, frames)])
    audio = audio[:, 0].to(dtype)
    audio[1] *= 1e-3
    factors = torch.linspace(0.6, 1.6, len(audio), dtype=torch.float64)
    plan = tempo_plan(factors, sample_rate, frames)
    offsets = search_offsets(audio, plan)
    for row in range(len(audio)):
        assert offsets[row, : plan.count[row]].tolist() == offsets_by_hand(audio[row], plan, row)


def test_a_row_in_a_batch_equals_the_row_alone() -> None:
    frames = 20_000
    audio = torch.cat([noise(4, frames), extremes(frames)])[:, 0]
    factors = torch.linspace(0.7, 1.4, 10, dtype=torch.float64)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    plan = tempo_plan(factors[order], 16000, frames)
    offsets = search_offsets(audio[order], plan)
    together = stretch(audio[order], plan, offsets)
    for place, row in enumerate(order.tolist()):
        plan = tempo_plan(factors[row : row + 1], 16000, frames)
        alone = search_offsets(audio[row : row + 1], plan)
        assert torch.equal(alone[0], offsets[place, : alone.shape[1]])
        stretched = stretch(audio[row : row + 1], plan, alone)[0]
        assert (stretched - together[place, : len(stretched)]).abs().max() <= FLOAT32_FADE
        assert together[place, len(stretched) :].count_nonzero() == 0


def test_lengths_and_constants() -> None:
    """82 ms, 12 ms in multiples of eight samples, 14.7 ms; frames / factor to the nearest."""
    assert plan_of([1.1], 11025, 1).overlap == 136  # 132.3 + 4.5, less than a multiple of eight
    plan = plan_of([0.749154, 1.0, 1.33484], 22050, 59049)
    assert (plan.segment, plan.overlap, plan.search, plan.step) == (1808, 264, 324, 1544)
    assert plan.lengths.tolist() == [78821, 59049, 44237]
    assert plan.count.tolist() == [52, 39, 29]
    assert plan.starts[:, 0].tolist() == [-162] * 3
    assert plan.starts[0, :3].tolist() == [-162, int(0.749154 * 1544 + 0.5) - 162, int(0.749154 * 3088 + 0.5) - 162]


def test_the_same_tempo_changes_nothing() -> None:
    audio = noise(2, 9000)[:, 0]
    plan = plan_of([1.0, 1.0], 8000, 9000)
    assert torch.equal(stretch(audio, plan, search_offsets(audio, plan)), audio)


@pytest.mark.parametrize("frames", [1, 2, 100, 500, 657])
def test_shorter_than_a_segment(frames: int) -> None:
    """At 8000 Hz a segment is 656 samples. The first one is a copy, so all that fits in it is."""
    audio = noise(2, frames)[:, 0]
    plan = plan_of([0.8, 1.25], 8000, frames)
    stretched = stretch(audio, plan, search_offsets(audio, plan))
    for row, length in enumerate(plan.lengths.tolist()):
        kept = min(frames, length, plan.step)
        assert torch.equal(stretched[row, :kept], audio[row, :kept])
    assert stretched.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_as_loud_as_nothing(dtype: torch.dtype) -> None:
    """The smallest numbers there are, and the largest of float32."""
    tiny = torch.finfo(dtype).smallest_normal * 2.0**-20
    audio = torch.cat([noise(2, 5000).to(dtype)[:, 0] * tiny, noise(1, 5000).to(dtype)[:, 0] * 1e37])
    plan = plan_of([0.8] * 3, 8000, 5000)
    assert stretch(audio, plan, search_offsets(audio, plan)).isfinite().all()


def test_refuses_rates_without_segments() -> None:
    with pytest.raises(ConfigError, match="sample rate of 1000 Hz or more, got 999"):
        plan_of([1.1], 999, 1000)
