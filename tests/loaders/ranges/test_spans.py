"""Which pieces share a request."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.ranges.spans import LARGEST, Spans, join

PIECES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2000)), max_size=60)


def joined(pieces: list[tuple[int, int]], size: int, gap: int, largest: int) -> Spans:
    shard, offset = np.array(pieces, dtype=np.int64).reshape(-1, 2).T
    return join(shard, offset, size, gap, largest)


@given(PIECES, st.integers(1, 100), st.integers(0, 300), st.integers(1, 1000))
def test_requests_bring_every_piece_once_and_are_as_few_as_allowed(
    pieces: list[tuple[int, int]], size: int, gap: int, largest: int
) -> None:
    spans = joined(pieces, size, gap, largest)
    assert sorted(spans.order.tolist()) == list(range(len(pieces)))
    assert spans.first[0] == 0
    assert spans.first[-1] == len(pieces)
    requests = list(zip(spans.shard.tolist(), spans.begin.tolist(), spans.end.tolist(), strict=True))
    assert requests == sorted(requests)
    for number, (shard, begin, end) in enumerate(requests):
        inside = [pieces[piece] for piece in spans.order[spans.first[number] : spans.first[number + 1]]]
        assert inside, "a request for nothing"
        assert {piece[0] for piece in inside} == {shard}
        assert begin == min(offset for _, offset in inside)
        assert end == max(offset for _, offset in inside) + size
        assert end - begin <= largest or len({offset for _, offset in inside}) == 1
        offsets = sorted(offset for _, offset in inside)
        assert all(later - earlier - size <= gap for earlier, later in pairwise(offsets))
    for (shard, begin, end), number in zip(requests, range(1, len(requests)), strict=False):
        next_shard, next_begin, _ = requests[number]
        if next_shard == shard and next_begin - end <= gap:
            assert next_begin + size - begin > largest, "two requests where one was allowed"


def test_no_pieces_no_requests() -> None:
    spans = joined([], 10, 10, 100)
    assert (len(spans.shard), spans.first.tolist(), len(spans.order)) == (0, [0], 0)


@pytest.mark.parametrize(("gap", "requests"), [(0, 3), (9, 3), (10, 2), (1000, 1)])
def test_the_gap_decides(gap: int, requests: int) -> None:
    assert len(joined([(0, 0), (0, 110), (0, 1000)], 100, gap, LARGEST).shard) == requests


def test_a_corpus_read_whole_comes_in_large_requests() -> None:
    crop = 118_098
    spans = join(np.zeros(1000, np.int64), np.arange(1000)[::-1] * crop, crop, 0)
    assert spans.begin[0] == 0
    assert spans.end[-1] == 1000 * crop
    assert np.all(spans.end - spans.begin <= LARGEST)
    assert len(spans.shard) == -(-1000 // (LARGEST // crop))
