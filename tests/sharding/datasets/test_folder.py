"""The folder data set: splits, songs, labels, and what becomes of files and rows without their other half."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import SourceError
from sharding.datasets.catalog import Catalog, Recording
from sharding.datasets.folder import draw_splits, read_folder
from sharding.faults import Fault
from sharding.storage import LocalPlace


def fill(root: Path, *names: str, labels: str = "") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    if labels:
        (root / "labels.csv").write_text(labels)
    return root


def by_source(catalog: Catalog) -> dict[str, Recording]:
    return {recording.source: recording for recording in catalog.recordings}


def test_without_labels(tmp_path: Path) -> None:
    names = [f"{number}.mp3" for number in range(20)]
    catalog = read_folder("folder", LocalPlace(fill(tmp_path, *names, "cover.jpg")), seed=0)
    assert (catalog.labels, catalog.ignored) == ((), 1)
    assert sorted(by_source(catalog)) == sorted(names)
    assert Counter(recording.split for recording in catalog.recordings) == {"train": 16, "valid": 2, "test": 2}
    assert all(recording.song_id == recording.source for recording in catalog.recordings)


def test_labels_with_splits(tmp_path: Path) -> None:
    labels = "path,tags,split,song_id\na.mp3,slow;rock,train,one\nb.mp3,rock,test,two\ngone.mp3,jazz,valid,\n"
    recordings = by_source(
        read_folder("folder", LocalPlace(fill(tmp_path, "a.mp3", "b.mp3", "extra.mp3", labels=labels)), 0)
    )
    assert recordings["a.mp3"].labels == ("rock", "slow")
    assert (recordings["b.mp3"].split, recordings["b.mp3"].song_id) == ("test", "two")
    assert (recordings["gone.mp3"].split, recordings["gone.mp3"].fault) == ("valid", None)  # attempted, then missing
    assert recordings["extra.mp3"].fault is Fault.UNLISTED


def test_a_name_in_another_unicode_form_keeps_its_labels(tmp_path: Path) -> None:
    nfc, nfd = "Jo\u0301ga/\u00e9.mp3", "J\u00f3ga/e\u0301.mp3"
    fill(tmp_path, nfd, labels=f"path,tags\n{nfc},rock\ngone.mp3,slow\n")
    recordings = by_source(read_folder("folder", LocalPlace(tmp_path), 0))
    assert sorted(recordings) == sorted([nfd, "gone.mp3"])
    assert recordings[nfd].labels == ("rock",)
    assert recordings[nfd].parts == (nfd,)


def test_exact_names_come_before_other_unicode_forms(tmp_path: Path) -> None:
    nfc, nfd = "\u00e9.mp3", "e\u0301.mp3"
    fill(tmp_path, nfc, nfd, labels=f"path,tags\n{nfc},rock\n{nfd},slow\n")
    recordings = by_source(read_folder("folder", LocalPlace(tmp_path), 0))
    assert {name: recordings[name].labels for name in recordings} == {nfc: ("rock",), nfd: ("slow",)}


def test_a_name_that_may_be_two_files_is_refused(tmp_path: Path) -> None:
    # Two marks above and below: three spellings of one text.
    one, two, three = "q\u0323\u0307.mp3", "q\u0307\u0323.mp3", "\u00e9.mp3"
    fill(tmp_path, one, two, labels=f"path\n{one}\n")
    assert len(read_folder("folder", LocalPlace(tmp_path), 0).recordings) == 2
    nfc, nfd = "\u1e69.mp3", "s\u0323\u0307.mp3"
    fill(tmp_path, nfd, "s\u0307\u0323.mp3", labels=f"path\n{nfc}\n")
    with pytest.raises(SourceError, match=r"labels\.csv: ṩ\.mp3 may be any of 2 files"):
        read_folder("folder", LocalPlace(tmp_path), 0)
    fill(tmp_path, three, labels=f"path\n{three}\ne\u0301.mp3\n")
    with pytest.raises(SourceError, match=r"labels\.csv: two rows name é\.mp3"):
        read_folder("folder", LocalPlace(tmp_path), 0)


def test_labels_that_are_no_file_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "a.mp3")
    (tmp_path / "labels.csv").symlink_to("nowhere.csv")
    with pytest.raises(SourceError, match=r"labels\.csv is not a file \(a folder, or a link that leads nowhere\)"):
        read_folder("folder", LocalPlace(tmp_path), 0)
    (tmp_path / "labels.csv").unlink()
    (tmp_path / "labels.csv").mkdir()
    with pytest.raises(SourceError, match=r"labels\.csv is not a file"):
        read_folder("folder", LocalPlace(tmp_path), 0)


def test_labels_without_splits(tmp_path: Path) -> None:
    rows = "".join(f"{number}.mp3,song-{number // 4}\n" for number in range(40))
    fill(tmp_path, *(f"{number}.mp3" for number in range(40)), "extra.mp3", labels="path,song_id\n" + rows)
    catalog = read_folder("folder", LocalPlace(tmp_path), 0)
    recordings = by_source(catalog)
    assert recordings["extra.mp3"].fault is None
    assert recordings["extra.mp3"].labels == ()
    for number in range(40):  # all recordings of a song in one split
        assert recordings[f"{number}.mp3"].split == recordings[f"{number // 4 * 4}.mp3"].split
    assert len({recording.key for recording in catalog.recordings}) == 41


def test_a_row_for_a_file_of_another_kind_is_attempted(tmp_path: Path) -> None:
    catalog = read_folder("folder", LocalPlace(fill(tmp_path, "a.mp3", "b.dat", labels="path\na.mp3\nb.dat\n")), 0)
    assert sorted(by_source(catalog)) == ["a.mp3", "b.dat"]
    assert catalog.ignored == 0


def test_a_folder_that_cannot_be_listed_counts_as_one_unreadable_recording(not_root: Path) -> None:
    fill(not_root, "open/a.mp3", "shut/b.mp3")
    (not_root / "shut").chmod(0)
    recordings = by_source(read_folder("folder", LocalPlace(not_root), 0))
    with pytest.raises(SourceError, match="shut cannot be listed"):
        read_folder("folder", LocalPlace(not_root / "shut"), 0)
    (not_root / "shut").chmod(0o755)
    assert {source: recording.fault for source, recording in recordings.items()} == {
        "open/a.mp3": None,
        "shut": Fault.UNREADABLE,
    }


@given(songs=st.sets(st.text(), min_size=1, max_size=60), seed=st.integers())
def test_drawn_splits_keep_their_quotas(songs: set[str], seed: int) -> None:
    splits = draw_splits(songs, seed)
    counts = Counter(splits.values())
    assert splits.keys() == songs
    assert counts["valid"] == counts["test"] == (len(songs) + 5) // 10
    assert counts["train"] > 0
    assert draw_splits(sorted(songs, reverse=True), seed) == splits


def test_the_seed_decides_the_splits() -> None:
    songs = [str(number) for number in range(100)]
    assert draw_splits(songs, 0) != draw_splits(songs, 1)


def test_unusable_folders(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="absent is not a folder; give one that holds audio"):
        read_folder("folder", LocalPlace(tmp_path / "absent"), 0)
    with pytest.raises(SourceError, match="holds no audio among its 0 files; expected mp3"):
        read_folder("folder", LocalPlace(tmp_path), 0)
    with pytest.raises(SourceError, match="holds no audio among its 2 files"):
        read_folder("folder", LocalPlace(fill(tmp_path, "a.txt", "b/c.pdf")), 0)


def test_two_recordings_with_one_key_are_refused(tmp_path: Path) -> None:
    one = Recording("key", "song", "train", (), ("one.mp3",))
    other = Recording("key", "song", "train", (), ("other.mp3",))
    with pytest.raises(SourceError, match=r"two recordings have the key key: one\.mp3, other\.mp3"):
        Catalog("folder", (), (one, other), 0)
