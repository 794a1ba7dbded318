"""Crops that avoid silence: chosen from levels alone, and right for the samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.draw import Keys, make_keys, uniform_numpy
from clmr.errors import ShardError
from loaders.order.epochs import Integers
from loaders.order.levels import CANDIDATES, Levels
from sharding.format import Tracks, open_shards
from tests.loaders.small_shards import SAMPLE_RATE, Recording, WriteShards, write_shards

HALF = SAMPLE_RATE // 2
CROP = 5000
QUIET_DB = 30.0
Pcm = npt.NDArray[np.int16]


def tone(loudness: npt.ArrayLike, rest: int = 0) -> Pcm:
    """Half seconds of a tone of these amplitudes, 0 .. 1, and so many samples more of the last one."""
    envelope = np.repeat(np.asarray(loudness, np.float64), HALF)
    envelope = np.concatenate([envelope, np.full(rest, envelope[-1])])
    pcm: Pcm = np.rint(32767 * envelope * np.sin(0.3 * np.arange(len(envelope)))).astype(np.int16)
    return pcm


def corpus() -> list[Recording]:
    """Music with silence before, within and after it, with a fade, with a bang, and without anything of the kind."""
    random = np.random.default_rng(0)
    pauses = [np.where(random.random(40) < share, 0.0, 0.5) for share in (0.2, 0.5, 0.8, 0.95)]
    for loudness in pauses:
        loudness[7] = 0.5
    pcm = [
        *(tone(loudness, rest) for loudness, rest in zip(pauses, (0, 1, 1999, 3999), strict=True)),
        tone(np.r_[np.zeros(10), np.full(10, 0.01), np.zeros(10)]),
        tone(10 ** (-np.arange(60) / 20)),
        tone(np.r_[np.full(20, 0.003), 1.0, np.full(20, 0.003)]),
        np.r_[np.zeros(9000, np.int16), tone([0.5], 100)],
        np.zeros(40_000, np.int16),
        random.integers(-3000, 3000, 60_000).astype(np.int16),
        tone([0.3]),
    ]
    pcm[-1] = np.resize(pcm[-1], CROP)
    return [Recording(f"train-{number:05d}", f"song-{number}", samples) for number, samples in enumerate(pcm)]


class Opened:
    """Shards of the corpus, and their samples."""

    def __init__(self, root: Path) -> None:
        recordings = corpus()
        recordings.insert(3, Recording("broken", "broken", np.zeros(0, np.int16), reason="decode"))
        self.tracks: Tracks = open_shards(write_shards(root / "shards", recordings)).tracks()
        by_key = {recording.key: recording.pcm for recording in recordings}
        self.pcm = [by_key[key] for key in self.tracks.table["key"].to_pylist()]
        self.levels = Levels(self.tracks, SAMPLE_RATE, QUIET_DB)

    def keys(self, seed: int, epoch: int, track: Integers) -> Keys:
        return make_keys(seed, epoch, self.tracks.row[track].reshape(-1)).reshape(*track.shape, 2)

    def epochs(self, track: int, number: int) -> tuple[Integers, Keys]:
        """One track in each of many epochs."""
        tracks = np.full(number, track)
        return tracks, make_keys(0, np.arange(number), self.tracks.row[tracks])

    def choose(self, keys: Keys, track: Integers) -> Integers:
        return self.levels.choose_starts(keys, self.tracks.frames[track], CROP, track)

    def places(self, keys: Keys, track: Integers, stream: str) -> Integers:
        """What a loader without levels draws, by another stream of draws."""
        return (uniform_numpy(keys, stream) * (self.tracks.frames[track] - CROP + 1)[..., None]).astype(np.int64)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return Opened(tmp_path_factory.mktemp("levels"))


def power(pcm: Pcm) -> float:
    return float((pcm.astype(np.float64) ** 2).mean())


def by_the_samples(pcm: Pcm, candidates: list[int]) -> int:
    """The choice of somebody who reads the audio."""
    blocks = [power(pcm[begin : begin + HALF]) for begin in range(0, len(pcm), HALF)]
    found = [power(pcm[start : start + CROP]) for start in candidates]
    loud = [start for start, level in zip(candidates, found, strict=True) if level >= max(blocks) / 1000]
    return loud[0] if loud else candidates[int(np.argmax(found))]


STREAMS = ["crop", *(f"crop.{number}" for number in range(1, CANDIDATES))]


@pytest.mark.parametrize("track", [0, 1, 2, 3, 4, 5])
def test_where_levels_tell_all_the_choice_is_that_by_the_samples(opened: Opened, track: int) -> None:
    """Tones that begin and end with a half second."""
    tracks, keys = opened.epochs(track, 500)
    starts = opened.choose(keys, tracks)
    drawn = np.stack([opened.places(keys, tracks, stream) for stream in STREAMS], axis=-1)
    agree = [
        start == by_the_samples(opened.pcm[track], candidates)
        for start, candidates in zip(starts.reshape(-1).tolist(), drawn.reshape(-1, CANDIDATES).tolist(), strict=True)
    ]
    # Of crops that begin or end within a few samples of a half second the sine's phase decides.
    assert np.mean(agree) > 0.99
    assert (starts != drawn[..., 0]).any()


def test_silence_becomes_rare(opened: Opened) -> None:
    tracks, keys = opened.epochs(1, 2000)  # half of it is silent

    def silent(starts: Integers) -> float:
        pcm = opened.pcm[1]
        return float(np.mean([not pcm[start : start + CROP].any() for start in starts.reshape(-1).tolist()]))

    assert silent(opened.places(keys, tracks, "crop")) > 0.1
    assert silent(opened.choose(keys, tracks)) == 0


@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 1000))
def test_tracks_without_quiet_passages_give_the_ordinary_crops(opened: Opened, seed: int, epoch: int) -> None:
    tracks = np.array([8, 9, 10, 9, 8])  # all zeros, so nothing is quieter than the rest; noise; as long as the crop
    keys = opened.keys(seed, epoch, tracks)
    np.testing.assert_array_equal(opened.choose(keys, tracks), opened.places(keys, tracks, "crop"))


@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 1000), shape=st.sampled_from([(8,), (3, 4), (2, 1, 3)]))
def test_a_row_of_a_block_is_that_row_alone(opened: Opened, seed: int, epoch: int, shape: tuple[int, ...]) -> None:
    tracks = np.random.default_rng(seed).integers(0, len(opened.pcm), shape)
    keys = opened.keys(seed, epoch, tracks)
    starts = opened.choose(keys, tracks)
    assert starts.shape == (*shape, 2)
    assert ((starts >= 0) & (starts + CROP <= opened.tracks.frames[tracks][..., None])).all()
    for place in np.ndindex(shape):
        alone = opened.choose(keys[place][None], tracks[place][None])
        np.testing.assert_array_equal(alone[0], starts[place])
        for view in range(2):
            np.testing.assert_array_equal(
                opened.choose(keys[place][None, [view]], tracks[place][None]), alone[:, [view]]
            )


def test_the_loudest_place_is_taken_where_all_are_quiet(opened: Opened) -> None:
    """A bang of half a second makes everything else quiet; a crop that touches it is not."""
    tracks, keys = opened.epochs(6, 1000)
    starts = opened.choose(keys, tracks)
    drawn = np.stack([opened.places(keys, tracks, stream) for stream in STREAMS], axis=-1)
    bang = range(20 * HALF, 21 * HALF)

    def touches(start: Integers) -> npt.NDArray[np.bool_]:
        touching: npt.NDArray[np.bool_] = (start < bang.stop) & (start + CROP > bang.start)
        return touching

    np.testing.assert_array_equal(touches(starts), touches(drawn).any(axis=-1))
    assert touches(starts).mean() > 5 * touches(drawn[..., 0]).mean() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda levels: None, r"levels of train-00002 has 0 bytes, not 10: run `python -m sharding verify"),
        (lambda levels: levels + b"1", r"levels of train-00002 has 11 bytes, not 10: run `python -m sharding verify"),
    ],
)
def test_an_index_without_all_levels_is_refused(
    make_shards: WriteShards, change: Callable[[bytes], bytes | None], message: str
) -> None:
    root = make_shards([Recording(f"train-{number:05d}", "song", tone(np.full(10, 0.1))) for number in range(4)])
    table = pq.read_table(root / "index.parquet")
    rows = table.to_pylist()
    rows[2]["levels"] = change(rows[2]["levels"])
    pq.write_table(table.from_pylist(rows, schema=table.schema), root / "index.parquet")
    with pytest.raises(ShardError, match=message):
        Levels(open_shards(root).tracks(), SAMPLE_RATE, QUIET_DB)
