"""What is drawn: shares of the tags, packs of cards, ranges, and that nothing but (seed, number) counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharding.synth.score import FILES, TAGS, TEMPI, deal, draw_recording, draw_score


@given(
    cards=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    seed=st.integers(-5, 2**70),
    number=st.integers(0, 10**6),
)
def test_any_run_of_two_packs_less_one_song_holds_every_card(cards: list[int], seed: int, number: int) -> None:
    dealt = [deal(cards, seed, number + place, "stream") for place in range(2 * len(cards) - 1)]
    assert set(dealt) == set(cards)


def test_a_pack_is_dealt_whole() -> None:
    assert Counter(deal("aaab", 3, number, "s") for number in range(400)) == {"a": 300, "b": 100}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tags_are_neither_rare_nor_common(seed: int) -> None:
    counts = Counter(tag for number in range(320) for tag in draw_score(seed, number).tags)
    assert set(counts) == set(TAGS)
    assert all(0.15 <= counts[tag] / 320 <= 0.6 for tag in TAGS), counts


def test_tags_overlap() -> None:
    """Of any two tags that do not exclude each other, some song has both and some song only the first."""
    songs = [set(draw_score(0, number).tags) for number in range(320)]
    exclusive = ({"slow", "fast"}, {"major", "minor", "pentatonic"}, {"arpeggio", "chords"}, {"staccato", "legato"})
    for first in TAGS:
        for second in TAGS:
            if first != second and not any({first, second} <= group for group in exclusive):
                assert any({first, second} <= tags for tags in songs), (first, second)
                assert any(first in tags and second not in tags for tags in songs), (first, second)


def test_tempo_classes_have_gaps_between_them() -> None:
    limits = [limit for tempo in ("slow", "medium", "fast") for limit in TEMPI[tempo]]
    assert limits == sorted(set(limits))
    for number in range(100):
        score = draw_score(1, number)
        assert TEMPI[score.tempo][0] <= score.bpm <= TEMPI[score.tempo][1]


def test_instruments_of_a_song_differ() -> None:
    for number in range(100):
        score = draw_score(2, number)
        assert len({score.lead, score.accompaniment, score.third}) == 3


def test_formats_come_in_equal_numbers() -> None:
    recordings = [draw_recording(0, number) for number in range(240)]
    drawn = Counter((recording.extension, recording.rate, recording.channels) for recording in recordings)
    assert drawn == dict.fromkeys(FILES, 10)


def test_a_song_is_a_function_of_seed_and_number() -> None:
    assert draw_score(4, 7) == draw_score(4, 7)
    assert draw_score(4, 7) != draw_score(5, 7)
    assert draw_score(4, 7) != draw_score(4, 8)


def test_tags_say_nothing_else_than_the_music() -> None:
    """Every field of the recording, and the fields of the music that are no tag, can change without a tag changing."""
    score = draw_score(0, 0)
    other = draw_score(0, 1)
    silent = ("seed", "number", "key", "tuning_cents", "lowest", "beats", "bpm", "recording")
    assert set(silent) < {field.name for field in fields(score)}
    assert replace(score, **{name: getattr(other, name) for name in silent}).tags == score.tags
