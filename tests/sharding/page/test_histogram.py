"""Every value is counted once, in the bin whose edges enclose it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sharding.page.facts import DURATION_STEPS, PEAK_STEPS
from sharding.page.histogram import FEWEST_BINS, MOST_BINS, MOST_NAMED, histogram

Values = npt.NDArray[np.float64]


def values(lowest: float, highest: float) -> st.SearchStrategy[Values]:
    return arrays(np.float64, st.integers(1, 200), elements=st.floats(lowest, highest, width=32))


@given(values(0.125, 50_000))
def test_durations(seconds: Values) -> None:
    bins = histogram(seconds, DURATION_STEPS, lowest=0)
    assert bins.counts.sum() == len(seconds)
    assert bins.edge(0) >= 0
    assert FEWEST_BINS <= len(bins) <= MOST_BINS
    assert bins.step in DURATION_STEPS
    edges = np.array([bins.edge(number) for number in range(len(bins) + 1)])
    slack = 1e-6  # a value on an edge belongs to either side of it
    for number, counted in enumerate(bins.counts):
        low = -np.inf if number == 0 else edges[number]
        high = np.inf if number == len(bins) - 1 else edges[number + 1]
        surely = ((seconds > low + slack) & (seconds < high - slack)).sum()
        perhaps = ((seconds >= low - slack) & (seconds <= high + slack)).sum()
        assert surely <= counted <= perhaps
    assert bins.below == (seconds < edges[0] - slack).sum()
    assert (seconds > edges[-1] + slack).sum() <= bins.above <= (seconds >= edges[-1] - slack).sum()


@given(values(-90.3125, 0))
def test_peaks_end_at_full_scale(decibels: Values) -> None:
    bins = histogram(decibels, PEAK_STEPS, highest=0)
    assert bins.counts.sum() == len(decibels)
    assert bins.edge(len(bins)) <= 1e-9
    assert bins.above == 0
    assert (bins.least, bins.most) == (decibels.min(), decibels.max())


@given(values(0.125, 50_000))
def test_an_axis_names_a_few_round_edges(seconds: Values) -> None:
    bins = histogram(seconds, DURATION_STEPS, lowest=0)
    named = [number for number in range(len(bins) + 1) if (bins.first + number) % bins.stride == 0]
    assert len(named) <= MOST_NAMED
    assert any(abs(bins.stride * bins.step - step) < 1e-9 for step in DURATION_STEPS)


def test_a_few_long_tracks_do_not_squeeze_the_others() -> None:
    seconds = np.append(np.linspace(20, 40, 1000), [3600.0])
    bins = histogram(seconds, DURATION_STEPS, lowest=0)
    assert bins.step == 1
    assert (bins.above, bins.below) == (1, 0)
    assert bins.most == 3600


def test_equal_values_stand_in_the_middle() -> None:
    bins = histogram(np.full(5, 29.98), DURATION_STEPS, lowest=0)
    assert bins.counts.max() == 5
    assert 2 <= int(bins.counts.argmax()) <= len(bins) - 3
