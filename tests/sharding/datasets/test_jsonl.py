"""Manifests in MARBLE's form: where the audio is, what the labels are, and lines that cannot be used."""

from __future__ import annotations

import json
import unicodedata

import pytest

from clmr.errors import ConfigError, SourceError
from sharding.datasets.jsonl import read_jsonl
from sharding.faults import Fault
from tests.sharding.datasets.lookalike_place import audio, request, splits


def line(path: str, label: object = "blues", **more: object) -> str:
    known = {"duration": 30.01, "sample_rate": 22050, "num_samples": 661794, "bit_depth": 16, "channels": 1}
    return json.dumps({"audio_path": path, "label": label, **known, **more}, ensure_ascii=False)


def manifests(name: str = "GTZANGenre", root: str = "data/GTZAN/", valid: str = "val") -> dict[str, bytes]:
    """Twenty recordings of three splits, below a folder that is not in the source."""
    numbers = {"train": range(14), valid: range(14, 17), "test": range(17, 20)}
    return {
        f"{name}.{split}.jsonl": "\n".join(
            line(f"{root}genres/blues/blues.{number:05d}.wav", ("blues", "jazz")[number % 2]) for number in part
        ).encode()
        for split, part in numbers.items()
    }


WAVS = audio(*(f"genres/blues/blues.{number:05d}.wav" for number in range(20)))


@pytest.mark.parametrize("valid", ["val", "valid"])
@pytest.mark.parametrize("root", ["", "data/GTZAN/", "/home/someone/data/GTZAN/", "./", "data\\\\GTZAN\\\\"])
def test_paths_count_from_wherever_the_manifest_was_written(root: str, valid: str) -> None:
    catalog = read_jsonl(request(manifests(root=root, valid=valid) | WAVS | {"README.md": b""}))
    assert splits(catalog) == (14, 3, 3)
    assert {recording.source for recording in catalog.recordings} == set(WAVS)
    assert (catalog.labels, catalog.ignored, catalog.notes) == (("blues", "jazz"), 1, ())
    assert all(r.labels == (("blues", "jazz")[int(r.source[-5]) % 2],) for r in catalog.recordings)


def test_a_split_without_a_manifest_is_noted() -> None:
    files = {name: data for name, data in manifests().items() if ".train." in name}
    (note,) = read_jsonl(request(files | WAVS)).notes
    assert note.endswith("no manifest of the split valid and test")


def test_labels_may_be_one_or_several_or_none() -> None:
    lines = [line("a.wav", ["slow", "fast"]), line("b.wav", "slow"), line("c.wav", None), line("d.wav", [])]
    catalog = read_jsonl(
        request({"MTT.train.jsonl": "\n\n".join(lines).encode(), **audio(*(f"{x}.wav" for x in "abcd"))})
    )
    assert catalog.labels == ("fast", "slow")
    assert [recording.labels for recording in catalog.recordings] == [("fast", "slow"), ("slow",), (), ()]


def test_a_song_id_is_taken_where_it_is_given() -> None:
    lines = f"{line('a.wav', song_id='s1')}\n{line('b.wav', song_id='s1')}\n{line('c.wav')}\n"
    catalog = read_jsonl(request({"x.train.jsonl": lines.encode(), **audio("a.wav", "b.wav", "c.wav")}))
    assert [recording.song_id for recording in catalog.recordings] == ["s1", "s1", "c.wav"]


def test_a_song_in_two_splits_is_refused() -> None:
    files = {f"x.{split}.jsonl": line(f"{split}.wav", song_id="s1").encode() for split in ("train", "test")}
    with pytest.raises(SourceError, match="song s1 is in test and in train; give all recordings of a song one split"):
        read_jsonl(request(files | audio("train.wav", "test.wav")))


def test_names_match_in_another_unicode_form() -> None:
    name = "Jóga/é.wav"
    stored = unicodedata.normalize("NFD", name)
    recording = read_jsonl(request({"x.test.jsonl": line(name).encode(), **audio(stored)})).recordings[0]
    assert (recording.parts, recording.fault) == ((stored,), None)


def test_a_file_that_is_not_there_is_counted() -> None:
    files = manifests() | WAVS
    del files["genres/blues/blues.00015.wav"]
    catalog = read_jsonl(request(files))
    assert [(r.source, r.fault) for r in catalog.recordings if r.fault] == [
        ("genres/blues/blues.00015.wav", Fault.MISSING)
    ]
    catalog = read_jsonl(request(files, closed=("genres/blues",)))
    assert [recording.fault for recording in catalog.recordings].count(Fault.UNREADABLE) == 1


def test_the_variant_chooses_among_several_tasks() -> None:
    files = manifests() | manifests("GTZANTempo") | WAVS
    with pytest.raises(SourceError, match="holds manifests of GTZANGenre, GTZANTempo; say which one as the variant"):
        read_jsonl(request(files))
    assert len(read_jsonl(request(files, variant="GTZANTempo")).recordings) == 20
    with pytest.raises(ConfigError, match="variant is 'GS', but jsonl here has only GTZANGenre, GTZANTempo"):
        read_jsonl(request(files, variant="GS"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"audio_path": "a.wav", "lab', r"x\.train\.jsonl line 2: not a JSON object"),
        ('["a.wav"]', "line 2: no audio_path"),
        ('{"path": "a.wav"}', "line 2: no audio_path"),
        (r'{"audio_path": "\ud800.wav"}', "line 2: no audio_path, or text that is not Unicode"),
        (line("b.wav", {"beat": [0.4]}), r'line 2: the label is \{"beat": \[0\.4\]\}, but tags are a text or'),
        (line("b.wav", [0.5, 0.1]), r"line 2: the label is \[0\.5, 0\.1\], but"),
        (line("a.wav"), r"two recordings have the key a-\w+: a\.wav, a\.wav"),
    ],
)
def test_lines_that_cannot_be_used_are_named(text: str, message: str) -> None:
    files = {"x.train.jsonl": f"{line('a.wav')}\n{text}\n".encode(), **audio("a.wav", "b.wav")}
    with pytest.raises(SourceError, match=message):
        read_jsonl(request(files))


def test_sources_without_manifests_or_audio_are_refused() -> None:
    with pytest.raises(SourceError, match=r"holds no manifests; expected manifests NAME\.train\.jsonl"):
        read_jsonl(request(WAVS | {"deeper/x.train.jsonl": b"", "notes.jsonl": b""}))
    with pytest.raises(SourceError, match="20 of 20 audio files are missing"):
        read_jsonl(request(manifests()))
    with pytest.raises(SourceError, match="names no recordings"):
        read_jsonl(request({"x.train.jsonl": b"\n", **WAVS}))
