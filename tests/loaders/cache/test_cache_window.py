"""Which shards are held: what is needed now always, what comes next as far as there is room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loaders.cache.folder import charge
from loaders.cache.window import Want, rank, window, yielding

NUMBERS = range(12)
SIZES = [1000 * number for number in NUMBERS]

some = st.lists(st.sampled_from(NUMBERS), unique=True)
wants = st.lists(
    st.builds(lambda shards, told: Want(shards, lambda _: None, told), some.filter(bool), st.booleans()), max_size=4
)


@given(wants, some)
def test_what_is_urgent_comes_first_then_the_order(wanted: list[Want], expected: list[int]) -> None:
    urgent, order = rank(wanted, expected)
    assert sorted(order) == sorted({number for want in wanted for number in want.shards} | set(expected))
    assert set(order[: len(urgent)]) == urgent
    waiting = [want for want in wanted if not want.told]
    needed = {number for want in wanted if want.told or want is waiting[0] for number in want.shards}
    assert urgent == needed
    later = [number for want in waiting[1:] for number in want.shards] + expected
    assert order[len(urgent) :] == [number for number in dict.fromkeys(later) if number not in urgent]


@given(wants, some, st.integers(0, 100_000), st.integers(0, 12))
def test_a_window_is_the_beginning_of_the_order(wanted: list[Want], expected: list[int], share: int, most: int) -> None:
    urgent, order = rank(wanted, expected)
    chosen = window(order, urgent, SIZES, share, most)
    assert chosen == order[: len(chosen)]
    assert len(chosen) >= len(urgent)
    used = sum(charge(SIZES[number]) for number in chosen)
    if len(chosen) > len(urgent):
        assert used <= share
        assert len(chosen) <= most
    if len(chosen) < len(order):
        assert used + charge(SIZES[order[len(chosen)]]) > share or len(chosen) >= most


@given(wants, some, st.sets(st.sampled_from(NUMBERS)))
def test_what_yields_is_the_last_that_is_held(wanted: list[Want], expected: list[int], held: set[int]) -> None:
    urgent, order = rank(wanted, expected)
    left = yielding(order, urgent, held)
    gone = [number for number in order if number not in left]
    spare = [number for number in order if number in held and number not in urgent]
    assert gone == spare[-1:]


def test_a_want_is_answered_once() -> None:
    answers: list[Exception | None] = []
    want = Want([1], answers.append)
    want.tell(None)
    want.tell(None)
    assert answers == [None]
    forgotten = Want([1], answers.append)
    forgotten.forget()
    forgotten.tell(None)
    assert answers == [None]
