"""MagnaTagATune on a look-alike of 25,863 clips: splits, tags, songs, bad clips, and unfinished downloads."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from clmr.errors import ConfigError, SourceError
from sharding.datasets.catalog import Request
from sharding.datasets.mtat import TAGS, read_mtat
from sharding.faults import Fault
from sharding.storage import LocalPlace
from tests.sharding.datasets.lookalike_mtat import BAD, ROWS, annotated, mtat, table
from tests.sharding.datasets.lookalike_place import AUDIO, audio, request, splits

FEW = dict.fromkeys("0123456789abcdef", 4)
"""A look-alike of 64 clips."""
OFFICIAL_TAGS = (
    "guitar, classical, slow, techno, strings, drums, electronic, rock, fast, piano, ambient, beat, violin, vocal, "
    "synth, female, indian, opera, male, singing, vocals, no vocals, harpsichord, loud, quiet, flute, woman, "
    "male vocal, no vocal, pop, soft, sitar, solo, man, classic, choir, voice, new age, dance, male voice, "
    "female vocal, beats, harp, cello, no voice, weird, country, metal, female voice, choral"
)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return mtat()


@pytest.fixture
def few() -> dict[str, bytes]:
    return mtat(FEW)


def npy(lines: Iterable[str]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(list(lines)))
    return file.getvalue()


def test_pons_has_every_clip_by_folder_less_the_three_bad_ones(files: dict[str, bytes]) -> None:
    catalog = read_mtat(request(files))
    assert len(catalog.recordings) == sum(ROWS.values()) == 25_863
    assert splits(catalog) == (18_706, 1_825, 5_329)
    assert splits(catalog, Fault.KNOWN_BAD) == (3, 0, 0)
    bad = {recording.key: recording.source for recording in catalog.recordings if recording.fault}
    assert bad == BAD
    untagged = Counter(recording.split for recording in catalog.recordings if not recording.labels)
    assert untagged == {"train": 3_462, "valid": 296, "test": 997}
    assert catalog.ignored == 0
    assert catalog.notes == ()


def test_an_annotation_cut_between_two_rows_is_noted(few: dict[str, bytes]) -> None:
    (note,) = read_mtat(request(few)).notes
    assert "annotations_final.csv has 64 clips, the published one has 25,863" in note


@pytest.mark.parametrize("variant", ["lee", "won"])
def test_lee_and_won_leave_out_clips_without_one_of_the_50_tags(files: dict[str, bytes], variant: str) -> None:
    catalog = read_mtat(request(files, variant=variant))
    assert splits(catalog) == (15_244, 1_529, 4_332)
    assert splits(catalog, None, Fault.KNOWN_BAD) == (15_247, 1_529, 4_332)  # as Won's lists count
    assert all(recording.labels for recording in catalog.recordings if recording.fault is None)


def test_tags_are_in_the_order_of_the_official_heads() -> None:
    assert ", ".join(TAGS) == OFFICIAL_TAGS


def test_labels_are_read_by_the_name_of_their_column(files: dict[str, bytes]) -> None:
    recordings = {recording.key: recording for recording in read_mtat(request(files)).recordings}
    for number, path, tags in annotated():
        assert recordings[number].parts == (path,)
        assert recordings[number].labels == tuple(tag for tag in TAGS if tag in tags)


def test_songs_are_joined_from_their_clips_in_order(files: dict[str, bytes]) -> None:
    catalog = read_mtat(request(files, unit="song"))
    songs = [recording for recording in catalog.recordings if recording.fault is None]
    # Each bad clip of the look-alike is a song of its own, which leaves 5,402 and 3,920 that have a sound clip.
    assert (len(songs), splits(catalog)[0]) == (5_405 - 3, 3_923 - 3)
    assert splits(catalog, Fault.KNOWN_BAD) == (3, 0, 0)
    assert len({recording.song_id for recording in catalog.recordings}) == 5_405
    assert sum(len(song.parts) for song in songs) == 25_860
    tags = {path: labels for _, path, labels in annotated()}
    for song in songs:
        starts = [int(part.split("-")[-2]) for part in song.parts]
        assert starts == sorted(starts)
        assert {part.rsplit("-", 2)[0] for part in song.parts} == {f"{song.parts[0][:2]}{song.song_id}"}
        assert song.labels == tuple(tag for tag in TAGS if any(tag in tags[part] for part in song.parts))
        assert re.fullmatch(r"[0-9a-z_-]{1,64}", song.key)


def test_a_bad_or_missing_clip_leaves_the_rest_of_its_song(few: dict[str, bytes]) -> None:
    clips = [*annotated(FEW), ("35644", BAD["35644"], ("rock",))]
    other = BAD["35644"].replace("117-146", "0-29")
    later = BAD["35644"].replace("117-146", "146-175")
    clips += [("90001", later, ("slow",)), ("90002", other, ("rock", "fast")), ("90003", "6/gone-1-0-29.mp3", ())]
    few |= {"annotations_final.csv": table(clips), **audio(BAD["35644"], other, later)}
    found = {recording.source: recording for recording in read_mtat(request(few, unit="song")).recordings}
    assert found[BAD["35644"]].fault is Fault.KNOWN_BAD
    assert found["6/gone-1-0-29.mp3"].fault is Fault.MISSING
    song = found[f"{other}\n{later}"]
    assert song.labels == ("slow", "rock", "fast")
    assert song.song_id == found[BAD["35644"]].song_id == "norine_braun-now_and_zen-08-gently"


def test_won_s_lists_are_used_where_they_are(few: dict[str, bytes]) -> None:
    paths = [path for _, path, _ in annotated(FEW)]
    for split, folders in {"train": "02", "valid": "4", "test": "9f"}.items():
        few[f"split/mtat/{split}.npy"] = npy(f"{row}\t{path}" for row, path in enumerate(paths) if path[0] in folders)
    few["split/mtat/tags.npy"] = npy(TAGS)
    catalog = read_mtat(request(few, variant="won"))
    assert splits(catalog) == (8, 4, 8)
    assert catalog.ignored == 1
    assert splits(read_mtat(request(few))) == (48, 4, 12)  # pons does not look at them

    few["split/mtat/test.npy"] = npy(["0\tf/unheard-of-1-0-29.mp3"])
    with pytest.raises(SourceError, match=r"split/mtat lists f/unheard-of-1-0-29\.mp3, which annotations_final"):
        read_mtat(request(few, variant="won"))
    few["split/mtat/test.npy"] = few["split/mtat/train.npy"]
    with pytest.raises(SourceError, match=r"test\.npy: 0/.* is in train already"):
        read_mtat(request(few, variant="won"))
    del few["split/mtat/test.npy"]
    with pytest.raises(SourceError, match=r"holds some of Won's lists, but no split/mtat/test\.npy"):
        read_mtat(request(few, variant="won"))


def test_won_s_lists_are_never_unpickled(few: dict[str, bytes]) -> None:
    hostile = io.BytesIO()
    np.save(hostile, np.array([{"a": "dict"}], dtype=object), allow_pickle=True)
    few |= dict.fromkeys([f"split/mtat/{split}.npy" for split in ("train", "valid", "test")], hostile.getvalue())
    with pytest.raises(SourceError, match=r"train\.npy: not an array of texts \(Object arrays cannot be loaded"):
        read_mtat(request(few, variant="won"))
    for wrong in (npy(["no tab"]), b"", b"garbage"):
        few["split/mtat/train.npy"] = wrong
        with pytest.raises(SourceError, match=r"train\.npy: "):
            read_mtat(request(few, variant="won"))


@pytest.mark.parametrize("root", ["", "raw/", "mp3/"])
def test_the_folders_may_lie_one_deeper(root: str, tmp_path: Path) -> None:
    for name, data in mtat(FEW, root).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    catalog = read_mtat(Request(LocalPlace(tmp_path)))
    assert splits(catalog) == (48, 4, 12)
    assert all((tmp_path / recording.parts[0]).read_bytes() == AUDIO for recording in catalog.recordings)


def test_a_song_in_two_splits_is_refused(few: dict[str, bytes]) -> None:
    clips = [*annotated(FEW), ("90001", "b/some-song-1-0-29.mp3", ()), ("90002", "c/some-song-1-29-58.mp3", ())]
    few |= {"annotations_final.csv": table(clips), **audio("b/some-song-1-0-29.mp3", "c/some-song-1-29-58.mp3")}
    with pytest.raises(SourceError, match=r"song some-song-1 has clips in train and in valid"):
        read_mtat(request(few))


def test_unfinished_downloads_say_what_is_missing(few: dict[str, bytes]) -> None:
    def refused(files: dict[str, bytes]) -> str:
        with pytest.raises(SourceError) as refusal:
            read_mtat(request(files))
        return str(refusal.value)

    only = {"annotations_final.csv": few["annotations_final.csv"]}
    archives = dict.fromkeys(["mp3.zip.001", "mp3.zip.002", "mp3.zip.003"], b"PK")
    assert "holds no annotations_final.csv; expected" in refused(dict(list(few.items())[:5]))
    assert "holds none of the mp3 folders; expected" in refused(only)
    assert "run there: cat mp3.zip.00? > mp3_all.zip; unzip mp3_all.zip" in refused(only | archives)
    del archives["mp3.zip.002"]
    assert "holds mp3.zip.001, mp3.zip.003 but not mp3.zip.002; get it from mirg.city.ac.uk" in refused(only | archives)
    without = {name: data for name, data in few.items() if name[:2] not in {"c/", "e/"}}
    assert "holds no mp3 in c, e; get the archives" in refused(without)
    half = {name: data for name, data in few.items() if not (name[0] in "abcdef" and name.endswith("-0-29.mp3"))}
    half |= audio(*(f"{folder}/other-1-0-29.mp3" for folder in "abcdef"))
    assert "24 of 64 audio files are missing, such as a/" in refused(half)
    assert refused({}).startswith("s3://music/raw is empty; expected annotations_final.csv beside the folders 0 to 9")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"clip_id"', b'"id"', r"annotations_final\.csv line 1: no column clip_id among 190"),
        (b'"choral"', b'"choir music"', r"line 1: no column choral"),
        (b".mp3", b".ogg", r"line 2: '2' with '0/artist.*ogg' is no clip"),
        (b'"2"', b'"two"', r"line 2: 'two' with"),
    ],
)
def test_other_tables_are_refused(few: dict[str, bytes], old: bytes, new: bytes, message: str) -> None:
    few["annotations_final.csv"] = few["annotations_final.csv"].replace(old, new)
    with pytest.raises(SourceError, match=message):
        read_mtat(request(few))


@pytest.mark.parametrize("cut", [3, 30, 300, 500])
def test_a_table_that_breaks_off_is_refused(few: dict[str, bytes], cut: int) -> None:
    few["annotations_final.csv"] = few["annotations_final.csv"][:-cut]
    with pytest.raises(SourceError, match=r"annotations_final\.csv line 6[45]: .*download it again"):
        read_mtat(request(few))


def test_unknown_variants_and_units_are_refused(few: dict[str, bytes]) -> None:
    with pytest.raises(ConfigError, match="variant is 'pons2017', but mtat has only pons, lee, won"):
        read_mtat(request(few, variant="pons2017"))
    with pytest.raises(ConfigError, match="unit is 'album', but mtat has only clip and song"):
        read_mtat(request(few, unit="album"))
