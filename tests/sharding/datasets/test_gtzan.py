"""GTZAN on look-alikes: the fault-filtered split, the three layouts of its copies, the file that cannot be decoded."""

from __future__ import annotations

from collections import Counter

import pytest

from clmr.errors import ConfigError, SourceError
from sharding.datasets.gtzan import GENRES, filtered_split, read_gtzan
from sharding.faults import Fault
from tests.sharding.datasets.lookalike_place import audio, request, splits


def gtzan(root: str = "genres/", extension: str = ".wav") -> dict[str, bytes]:
    return audio(*(f"{root}{genre}/{genre}.{number:05d}{extension}" for genre in GENRES for number in range(100)))


@pytest.mark.parametrize("extension", [".wav", ".au"])
@pytest.mark.parametrize("root", ["genres/", "Data/genres_original/", "genres_original/", ""])
def test_the_filtered_split_in_every_layout(root: str, extension: str) -> None:
    catalog = read_gtzan(request(gtzan(root, extension)))
    assert splits(catalog, None, Fault.KNOWN_BAD) == (443, 197, 290)
    assert splits(catalog) == (442, 197, 290)
    bad = [recording for recording in catalog.recordings if recording.fault is not None]
    assert [recording.parts for recording in bad] == [(f"{root}jazz/jazz.00054{extension}",)]
    assert catalog.labels == GENRES
    first = catalog.recordings[0]
    assert (first.key, first.song_id, first.labels) == ("blues-00029", "blues.00029", ("blues",))


def test_the_training_split_by_genre() -> None:
    counts = Counter(name.partition(".")[0] for name in filtered_split()["train"])
    assert [counts[genre] for genre in GENRES] == [46, 48, 45, 42, 47, 43, 44, 41, 43, 44]
    names = [name for split in filtered_split().values() for name in split]
    assert len(set(names)) == len(names) == 930


def test_the_fuller_copy_is_taken_and_gaps_are_counted() -> None:
    files = gtzan("Data/genres_original/") | audio("genres/blues/blues.00029.wav")
    del files["Data/genres_original/rock/rock.00085.wav"]
    catalog = read_gtzan(request(files))
    assert [recording.key for recording in catalog.recordings if recording.fault is Fault.MISSING] == ["rock-00085"]


def test_unfinished_downloads_say_what_is_missing() -> None:
    with pytest.raises(SourceError, match=r"genres\.tar\.gz is not unpacked; run there: tar xzf genres\.tar\.gz"):
        read_gtzan(request({"genres.tar.gz": b""}))
    with pytest.raises(SourceError, match=r"holds none of the genres; expected genres/<genre>/<genre>\.000NN\.wav"):
        read_gtzan(request(audio("music/a.wav")))
    some = {name: data for name, data in gtzan().items() if "/rock/" not in name and "/reggae/" not in name}
    with pytest.raises(SourceError, match=r"\d+ of 930 audio files are missing, such as genres/reggae/.*unpack"):
        read_gtzan(request(some))


def test_there_is_one_version() -> None:
    with pytest.raises(ConfigError, match="variant is 'mini', but gtzan has only one version"):
        read_gtzan(request(gtzan(), variant="mini"))
