"""The Million Song Dataset on look-alikes: both forms of the split, previews in every layout, damaged files, growth."""

from __future__ import annotations

import tracemalloc

import pytest

from clmr.errors import ConfigError, SourceError
from sharding.datasets.msd import read_msd
from sharding.faults import Fault
from tests.sharding.datasets.lookalike_msd import (
    TAGS,
    TEST,
    TRAIN,
    VALID,
    ones,
    pickles,
    preview,
    preview_id,
    previews,
    py2_dict,
    py2_list,
    track_id,
    tsv,
)
from tests.sharding.datasets.lookalike_place import request, splits


@pytest.fixture(scope="module")
def published() -> dict[str, bytes]:
    return pickles()


def test_the_published_pickles_give_the_published_counts(published: dict[str, bytes]) -> None:
    numbers = (number for number in range(TRAIN + VALID + TEST) if number % 1000)
    catalog = read_msd(request(published | previews(numbers)))
    assert splits(catalog, None, Fault.MISSING) == (TRAIN, VALID, TEST) == (201_680, 11_774, 28_435)
    assert sum(splits(catalog, Fault.MISSING)) == 242  # every thousandth
    assert (catalog.labels, catalog.ignored, catalog.notes) == (tuple(TAGS), 0, ())
    for number in (0, 1, TRAIN - 1, TRAIN, TRAIN + VALID - 1, TRAIN + VALID, TRAIN + VALID + TEST - 1):
        recording = catalog.recordings[number]
        assert (recording.key, recording.song_id) == (track_id(number).lower(), track_id(number))
        assert recording.parts == (preview(number),)
        assert recording.labels == tuple(TAGS[at] for at in ones(number))


def test_lists_of_another_length_are_refused(published: dict[str, bytes]) -> None:
    short = published | {"MSD_split/filtered_list_test.cP": py2_list([track_id(5)])} | previews([5])
    with pytest.raises(
        SourceError, match=r"test\.cP: 1 entries instead of a list of 28,435 track ids; get the pickles"
    ):
        read_msd(request(short))
    other = published | {"MSD_split/filtered_list_train.cP": py2_dict([])} | previews([5])
    with pytest.raises(SourceError, match=r"train\.cP: a dict instead of a list of 213,454 track ids"):
        read_msd(request(other))
    untagged = published | {"MSD_split/msd_id_to_tag_vector.cP": py2_dict([])} | previews([5])
    with pytest.raises(
        SourceError, match=r"tag_vector\.cP: no tags of TRAAA000000F4281ZZ, which is in the split train"
    ):
        read_msd(request(untagged))


def test_a_hostile_pickle_is_refused_and_named(published: dict[str, bytes]) -> None:
    hostile = published | {"MSD_split/MSD_id_to_7D_id.pkl": b"cos\nsystem\n(S'false'\ntR."} | previews([5])
    with pytest.raises(SourceError, match=r"MSD_id_to_7D_id\.pkl: this pickle asks for os\.system, which"):
        read_msd(request(hostile))


@pytest.mark.parametrize("root", ["", "preprocessed/", "raw/", "processed/"])
@pytest.mark.parametrize("extension", [".mp3", ".wav"])
def test_the_tsv_form_with_previews_in_every_layout(root: str, extension: str) -> None:
    catalog = read_msd(request(tsv() | previews(range(50), root, extension)))
    assert splits(catalog, None, Fault.MISSING) == (30, 12, 9)
    assert splits(catalog, Fault.MISSING) == (0, 0, 1)
    assert catalog.recordings[3].parts == (f"{root}{preview(3, extension)}",)
    assert catalog.recordings[3].labels == tuple(TAGS[at] for at in ones(3))
    assert catalog.labels == tuple(TAGS)
    assert catalog.ignored == 1  # index_msd.tsv, whose paths are those of another machine


def test_the_mp3_is_taken_where_a_wav_lies_beside_it() -> None:
    files = tsv() | previews(range(51), "preprocessed/") | previews(range(51), "preprocessed/", ".wav")
    assert read_msd(request(files)).recordings[0].parts == (f"preprocessed/{preview(0)}",)


def test_a_track_that_is_not_at_7digital_is_missing() -> None:
    ids = py2_dict((track_id(number), f"S'{preview_id(number)}'\n") for number in range(50))
    files = tsv() | previews(range(51)) | {"processed_annotations/MSD_id_to_7D_id.pkl": ids}
    lost = read_msd(request(files)).recordings[50]
    assert (lost.fault, lost.source) == (Fault.MISSING, f"{track_id(50)}.clip.mp3")


def test_the_variant_chooses_where_both_forms_are_there(published: dict[str, bytes]) -> None:
    both = published | {"MSD_split/filtered_list_train.cP": py2_list(["short"])} | tsv() | previews(range(60))
    assert len(read_msd(request(both)).recordings) == len(read_msd(request(both, variant="tsv")).recordings) == 51
    with pytest.raises(SourceError, match=r"filtered_list_train\.cP: 1 entries"):
        read_msd(request(both, variant="pickle"))
    with pytest.raises(ConfigError, match="variant is 'choi', but msd has only tsv, pickle"):
        read_msd(request(both, variant="choi"))
    with pytest.raises(ConfigError, match="unit is 'song', but msd has only clip"):
        read_msd(request(both, unit="song"))


def test_missing_files_are_named_with_their_origin() -> None:
    def refused(files: dict[str, bytes], variant: str = "") -> str:
        with pytest.raises(SourceError) as refusal:
            read_msd(request(files, variant=variant))
        return str(refusal.value)

    files = tsv()
    assert "holds no previews; expected previews as <d1>/<d2>/<7digital id>.clip.mp3" in refused(files)
    assert "51 of 51 audio files are missing" in refused(files | previews([99]))
    nothing = refused(previews([0]))
    assert "holds no train_gt_msd.tsv, val_gt_msd.tsv, test_gt_msd.tsv, output_labels_msd.txt" in nothing
    assert "jordipons/musicnn-training" in nothing
    assert "jongpillee/music_dataset_split" in nothing
    del files["processed_annotations/val_gt_msd.tsv"]
    assert "holds no val_gt_msd.tsv; put the tsv files of github.com/jordipons" in refused(files | previews([0]))
    assert "holds no filtered_list_train.cP, filtered_list_test.cP, msd" in refused(tsv() | previews([0]), "pickle")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "train_gt_msd.tsv",
            b"]\nTRAAA000003",
            b"\nTRAAA000003",
            r"train_gt_msd\.tsv line 3: expected a track id, TAB",
        ),
        (
            "train_gt_msd.tsv",
            b"[1, 1, 0",
            b"[1, 2, 0",
            r"train_gt_msd\.tsv line 2: expected a track id, TAB and 50 times",
        ),
        ("test_gt_msd.tsv", b"TRAAA000042F", b"TRAAA 00042F", r"line 1: 'TRAAA 00042F4281ZZ' is no MSD track id"),
        ("val_gt_msd.tsv", b"\t", b" ", r"val_gt_msd\.tsv line 1: expected a track id, TAB"),
        ("output_labels_msd.txt", b"'happy'", b"'sad'", r"output_labels_msd\.txt: expected 50 different tags"),
        ("output_labels_msd.txt", b"'happy']", b"open('x')]", r"output_labels_msd\.txt: no list of labels"),
        ("MSD_id_to_7D_id.pkl", b"s.", b"s", r"MSD_id_to_7D_id\.pkl: not a complete pickle"),
    ],
)
def test_damaged_files_are_refused(file: str, old: bytes, new: bytes, message: str) -> None:
    files = tsv() | previews(range(51))
    name = f"processed_annotations/{file}"
    assert old in files[name]
    files[name] = files[name].replace(old, new, 1)
    with pytest.raises(SourceError, match=message):
        read_msd(request(files))


def test_a_track_costs_little_memory() -> None:
    tracks = 10_000
    asked = request(tsv(tracks, 0, 0) | previews(range(tracks)))
    tracemalloc.start()
    catalog = read_msd(asked)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(catalog.recordings) == tracks
    assert peak / tracks < 1500  # bytes: 1.5 GB for a million, its list of files included
