"""What is drawn, without a sound: splits, tags and their shares, and music that is what its tags say."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import astuple

import numpy as np
import pytest

from clmr.errors import ConfigError
from sharding.study.arrange import CHORDS, LEAD, LINE, arrange
from sharding.study.balance import REFERENCE_DB, instrument_volume
from sharding.study.composition import DENSE, draw_composition
from sharding.study.corpus import SIZES, draw_corpus, track_path
from sharding.study.families import FAMILIES, REGISTERS, programs
from sharding.study.melody import sing
from sharding.study.midi import DRUM_CHANNEL
from sharding.study.shares import count_tags, share_table
from sharding.study.take import TAGS, TAKES, TEMPI, Take, draw_takes
from sharding.synth.harmony import SCALES
from tests.sharding.study.midi_reader import Song, read_midi

MELODIC = (LEAD, CHORDS, LINE)


def played(take: Take) -> Song:
    return read_midi(arrange(take))


# --- splits and tags ------------------------------------------------------------------------------------------


def test_the_sizes_have_the_tracks_they_promise(takes: list[Take]) -> None:
    assert {name: size.tracks for name, size in SIZES.items()} == {"cpu": 1200, "tiny": 12, "full": 20_000}
    assert Counter(take.composition.split for take in takes) == {"train": 900, "valid": 100, "test": 200}
    with pytest.raises(ConfigError, match="size is 'huge', but the study corpus comes in cpu, tiny, full"):
        draw_corpus("huge")


def test_no_composition_is_in_two_splits_and_its_takes_differ(takes: list[Take]) -> None:
    compositions: dict[str, list[Take]] = defaultdict(list)
    for take in takes:
        compositions[take.composition.name].append(take)
    music = {}
    for of_one in compositions.values():
        piece = of_one[0].composition
        assert len(of_one) == TAKES[piece.split]
        assert all(take.composition == piece for take in of_one)
        assert len({(take.band, take.bpm, take.key) for take in of_one}) == len(of_one)
        music[piece.name] = str(list(piece.sections.values()))
    assert len(set(music.values())) == len(music), "one composition under two names"


def test_a_larger_corpus_has_the_same_songs_in_the_same_splits(takes: list[Take]) -> None:
    full = SIZES["full"]
    assert full.seconds == SIZES["cpu"].seconds
    assert all(full.compositions[split] >= count for split, count in SIZES["cpu"].compositions.items())
    for take in takes[::97]:
        piece = take.composition
        assert take in draw_takes(piece.seed, piece.split, piece.number, full.seconds)


def test_every_tag_has_positives_and_negatives_in_every_split(takes: list[Take]) -> None:
    counts = count_tags(takes)
    for split in ("train", "valid", "test"):
        assert all(0 < counts[split][tag] < counts[split]["tracks"] for tag in TAGS), split
    for tag in TAGS:
        share = sum(counts[split][tag] for split in counts) / len(takes)
        assert 0.05 < share < 0.6, tag
    table = share_table(takes)
    assert "tracks                 900     100     200 100.0 %" in table
    assert len(table.splitlines()) == len(TAGS) + 2


def test_other_seeds_have_every_tag_in_every_split() -> None:
    for seed in (1, 2):
        counts = count_tags([take for number in range(100) for take in draw_takes(seed, "valid", number, 30)])
        assert all(0 < counts["valid"][tag] < 100 for tag in TAGS)


def test_nothing_of_the_recording_tells_a_tag(takes: list[Take]) -> None:
    """The rank statistic of Mann and Whitney (1947): without a relation its AUC has the variance below."""
    facts = np.array(
        [[value == "ogg" if isinstance(value, str) else value for value in astuple(take.recording)] for take in takes]
    )
    ranks = facts.argsort(axis=0, kind="stable").argsort(axis=0) + 1
    deviations = 4.5  # of 27 tags by 10 facts, one in 500 corpora would have such a one
    for tag in TAGS:
        holds = np.array([tag in take.tags for take in takes])
        ones, zeros = holds.sum(), (~holds).sum()
        auc = (ranks[holds].sum(axis=0) - ones * (ones + 1) / 2) / (ones * zeros)
        bound = deviations * np.sqrt((len(takes) + 1) / (12 * ones * zeros))
        assert (np.abs(auc - 0.5) < bound).all(), tag


def test_instruments_do_not_tell_the_other_tags(takes: list[Take]) -> None:
    """No two tags that may hold together go together, but for families, which share three chairs."""
    holds = np.array([[tag in take.tags for tag in TAGS] for take in takes], dtype=float)
    related = np.abs(np.corrcoef(holds.T))
    exclusive = [{"slow", "fast"}, {"major", "minor"}, {"sparse", "dense"}, {"low_register", "high_register"}]
    exclusive += [{"staccato", "legato"}, {"arpeggio", "block_chords"}]
    for one, first in enumerate(TAGS):
        for other, second in enumerate(TAGS[:one]):
            if {first, second} not in exclusive:
                # 1 / sqrt(1200) is a standard deviation; two takes of a composition share a third of their tags.
                assert related[one, other] < 0.2, (first, second)


def test_file_names_change_with_the_song() -> None:
    names = {track_path(draw_takes(seed, "test", 3, seconds)[0]) for seed in range(10) for seconds in (8, 30)}
    assert len(names) == 20


# --- music ----------------------------------------------------------------------------------------------------


def test_a_score_is_a_pure_function_of_its_numbers(takes: list[Take]) -> None:
    for take in takes[::150]:
        piece = take.composition
        assert draw_composition(piece.seed, piece.split, piece.number) == piece
        again = next(t for t in draw_takes(piece.seed, piece.split, piece.number, 30) if t.letter == take.letter)
        assert again == take
        assert arrange(again) == arrange(take)


def test_everyone_named_plays_in_key_and_in_every_crop(takes: list[Take]) -> None:
    slowest = sorted((take for take in takes if take.composition.density != DENSE), key=lambda take: take.bpm)[:20]
    for take in [*takes[::40], *slowest]:
        song = played(take)
        channels = {channel for channel, *_ in song.notes}
        assert {song.programs[channel] for channel in channels & set(MELODIC)} == set(take.instruments)
        assert (DRUM_CHANNEL in channels) == ("drums" in take.tags)
        assert len(channels & set(MELODIC)) == max(2, len(take.band))
        keys = {(key - take.key) % 12 for channel, _, _, key, _ in song.notes if channel != DRUM_CHANNEL}
        assert keys <= set(SCALES[take.composition.mode])
        seconds = 60 / take.bpm / song.ticks
        for channel in channels:
            starts = [first * seconds for other, first, *_ in song.notes if other == channel]
            assert min(starts) < 0.1
            # 2.5 beats at 60 to the minute, and the deviations of players: each is heard in every crop of 2.7 s.
            assert max(np.diff([*sorted(starts), take.recording.seconds])) < 2.6
            assert max(starts) < take.recording.seconds + 0.1


def test_tempo_meter_density_and_articulation_are_what_the_tags_say(takes: list[Take]) -> None:
    per_beat, shares = defaultdict(list), defaultdict(list)
    for take in takes[::10]:
        song = played(take)
        bpm = 60e6 / int.from_bytes(song.meta[0x51], "big")
        assert TEMPI[take.tempo][0] <= bpm <= TEMPI[take.tempo][1]
        assert song.meta[0x58][0] == (3 if "triple_meter" in take.tags else 4)
        lead = sorted(note for note in song.notes if note[0] == LEAD)
        beats = take.recording.seconds * take.bpm / 60
        per_beat[take.composition.density].append(len(lead) / beats)
        starts = np.array([first for _, first, *_ in lead])
        held = np.array([last - first for _, first, last, *_ in lead])
        shares[take.articulation].append(np.median(held[:-1] / np.diff(starts)))
    assert max(per_beat["sparse"]) < min(per_beat["dense"])
    assert np.median(per_beat["sparse"]) < np.median(per_beat["medium"]) < np.median(per_beat["dense"])
    assert max(shares["staccato"]) < 0.4 < min(shares["plain"])
    assert max(shares["plain"]) < 0.95 < min(shares["legato"])


def test_registers_lie_above_each_other(takes: list[Take]) -> None:
    middles = defaultdict(list)
    for take in takes[::10]:
        song = played(take)
        middles[take.register].append(np.median([key for channel, _, _, key, _ in song.notes if channel in MELODIC]))
    assert max(middles["low"]) < min(middles["middle"])
    assert max(middles["middle"]) < min(middles["high"])


def test_melodies_come_to_rest_and_stay_in_reach(takes: list[Take]) -> None:
    for take in takes[::40]:
        for section in take.composition.sections.values():
            sung = list(sing(take.composition, section, 48 + take.key, 65))
            assert max(abs(key - 65) for *_, key in sung) <= 14
            bar, beat, beats, _ = sung[-1]
            assert (bar, beat + beats) == (3, take.composition.beats)
            assert beats >= take.composition.beats / 2


# --- instruments ----------------------------------------------------------------------------------------------


def test_a_family_has_instruments_of_its_own_in_every_register() -> None:
    owner: dict[int, str] = {}
    for family in FAMILIES:
        for register in REGISTERS:
            assert programs(family, register)
            for program in programs(family, register):
                assert owner.setdefault(program, family) == family


def test_louder_instruments_are_turned_down() -> None:
    loud, quiet = instrument_volume(30, "middle", -6), instrument_volume(0, "middle", -6)
    assert loud < quiet
    # The piano measured -43 dB, the guitar -29: 14 dB are a factor of 10^(14/40) in volume.
    assert quiet / loud == pytest.approx(10 ** (14 / 40), rel=0.03)
    assert quiet == round(127 * 10 ** ((-6 + 43 + REFERENCE_DB) / 40))
