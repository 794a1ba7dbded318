"""The Free Music Archive on a look-alike of 106,574 tracks: subsets, splits, genres, bad lists, archives half there."""

from __future__ import annotations

import hashlib

import pytest

from clmr.errors import ConfigError, SourceError
from sharding.datasets.fma import read_checksums, read_fma
from sharding.datasets.inventory import take_inventory
from sharding.faults import Fault
from tests.sharding.datasets.lookalike_fma import (
    BAD_CLIPS,
    BAD_IN_SMALL,
    GENRES,
    TRACKS,
    WRONG_AUDIO,
    fma,
    subsets,
    tracks_csv,
)
from tests.sharding.datasets.lookalike_place import AUDIO, MemoryPlace, request, splits

Row = tuple[int, str, str, str]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(subsets())


@pytest.fixture(scope="module")
def medium(rows: list[Row]) -> dict[str, bytes]:
    return fma(rows)


@pytest.fixture
def few(rows: list[Row]) -> dict[str, bytes]:
    return fma(rows[6:8006:400] + rows[8021:8041])


def known_bad(files: dict[str, bytes], variant: str) -> set[str]:
    catalog = read_fma(request(files, variant=variant))
    return {recording.key for recording in catalog.recordings if recording.fault is Fault.KNOWN_BAD}


def test_medium_has_the_published_splits_genres_and_bad_clips(medium: dict[str, bytes]) -> None:
    catalog = read_fma(request(medium))
    assert splits(catalog, None, Fault.KNOWN_BAD) == (19_922, 2_505, 2_573)
    assert known_bad(medium, "") == known_bad(medium, "medium") == set(BAD_CLIPS)
    assert len(BAD_CLIPS) == 21
    assert sum(splits(catalog)) == 25_000 - 21
    assert catalog.labels == tuple(GENRES)
    assert len(GENRES) == 16
    assert all(len(recording.labels) == 1 for recording in catalog.recordings)
    assert catalog.ignored == 1  # raw_tracks.csv
    assert catalog.notes == ()


def test_a_table_cut_between_two_rows_is_noted(few: dict[str, bytes]) -> None:
    (note,) = read_fma(request(few)).notes
    assert "tracks.csv has 40 tracks of fma_medium, the published one has 25,000" in note


def test_small_is_read_from_the_archive_that_is_there(medium: dict[str, bytes]) -> None:
    catalog = read_fma(request(medium, variant="small"))
    assert len(catalog.recordings) == 8_000
    assert known_bad(medium, "small") == set(BAD_IN_SMALL)
    assert len(catalog.labels) == 8
    assert catalog.recordings[0].parts == ("fma_medium/098/098565.mp3",)


@pytest.mark.parametrize(("variant", "bad"), [("large", {*BAD_CLIPS, *WRONG_AUDIO}), ("full", set(WRONG_AUDIO))])
def test_large_and_full_take_every_track(rows: list[Row], variant: str, bad: set[str]) -> None:
    files = fma(rows, f"fma_{variant}")
    catalog = read_fma(request(files, variant=variant))
    assert len(catalog.recordings) == TRACKS == 106_574
    assert {recording.key for recording in catalog.recordings if recording.fault} == bad
    assert {len(recording.labels) for recording in catalog.recordings} == {0, 1}  # not all have a top genre
    if variant == "large":
        assert len(read_fma(request(files)).recordings) == 25_000  # medium is a part of large
    else:
        with pytest.raises(SourceError, match=r"holds no folder fma_medium; expected fma_metadata/tracks\.csv"):
            read_fma(request(files))  # clips cannot be had from whole tracks


def test_a_missing_track_is_counted(few: dict[str, bytes], rows: list[Row]) -> None:
    number = f"{rows[406][0]:06d}"
    del few[f"fma_medium/{number[:3]}/{number}.mp3"]
    missing = [recording for recording in read_fma(request(few)).recordings if recording.fault is Fault.MISSING]
    assert [(recording.key, recording.song_id) for recording in missing] == [(number, number)]


def test_checksums_are_those_of_the_files(few: dict[str, bytes]) -> None:
    sums = read_checksums(take_inventory(MemoryPlace(few), ""), "fma_medium")
    assert {name for name in few if name.endswith(".mp3")} == sums.keys()
    assert set(sums.values()) == {hashlib.sha1(AUDIO, usedforsecurity=False).hexdigest()}
    few["fma_medium/checksums"] += b"0123  cut"
    with pytest.raises(SourceError, match=r"fma_medium/checksums line 41: expected a SHA-1 and NNN/NNNNNN\.mp3"):
        read_fma(request(few))


def test_unfinished_downloads_say_what_is_missing(few: dict[str, bytes]) -> None:
    def refused(files: dict[str, bytes]) -> str:
        with pytest.raises(SourceError) as refusal:
            read_fma(request(files))
        return str(refusal.value)

    metadata = {"fma_metadata/tracks.csv": few["fma_metadata/tracks.csv"]}
    assert "holds no tracks.csv; expected fma_metadata/tracks.csv and fma_medium/000/000002.mp3" in refused(
        {name: data for name, data in few.items() if not name.startswith("fma_metadata")}
    )
    assert "holds no folder fma_medium" in refused(metadata)
    assert "fma_medium.zip is not unpacked; run there: 7z x fma_medium.zip" in refused(
        metadata | {"fma_medium.zip": b""}
    )
    half = dict(list(few.items())[:-10]) | {"fma_medium/checksums": few["fma_medium/checksums"]}
    assert "9 of the 40 files that fma_medium/checksums lists are missing, such as fma_medium/" in refused(half)
    del half["fma_medium/checksums"]
    assert "9 of 40 audio files are missing" in refused(half)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"genre_top", b"genre", r"tracks\.csv: no column track/genre_top; get fma_metadata\.zip"),
        (b"track_id", b"id", r"tracks\.csv: no column track_id; get"),
        (b"training", b"trainig", r"tracks\.csv line 5: no track id and split, but '\d+' and 'trainig'"),
    ],
)
def test_other_tables_are_refused(few: dict[str, bytes], old: bytes, new: bytes, message: str) -> None:
    few["fma_metadata/tracks.csv"] = few["fma_metadata/tracks.csv"].replace(old, new)
    with pytest.raises(SourceError, match=message):
        read_fma(request(few))


def test_a_table_that_breaks_off_is_refused(few: dict[str, bytes]) -> None:
    few["fma_metadata/tracks.csv"] = few["fma_metadata/tracks.csv"][:-15]
    with pytest.raises(SourceError, match=r"tracks\.csv line 83: 41 cells under 53 columns, as in a half-finished"):
        read_fma(request(few))


def test_a_long_biography_is_read(rows: list[Row]) -> None:
    files = fma(rows[6:46])
    text = tracks_csv(rows[6:46]).replace("Müller".encode(), b"M" * 200_000, 1)
    assert len(read_fma(request(files | {"fma_metadata/tracks.csv": text})).recordings) == 40


def test_unknown_variants_are_refused(few: dict[str, bytes]) -> None:
    with pytest.raises(ConfigError, match="variant is 'huge', but fma has only medium, small, large, full"):
        read_fma(request(few, variant="huge"))
