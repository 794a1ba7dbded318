"""The listing of a source folder: what is there, what is hidden, and folders that cannot be listed at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clmr.errors import SourceError
from sharding.datasets.inventory import take_inventory
from sharding.faults import Fault
from sharding.storage import LocalPlace
from tests.sharding.datasets.lookalike_place import MemoryPlace, audio


def test_audio_and_documents_are_told_apart() -> None:
    inventory = take_inventory(MemoryPlace(audio("a.MP3", "b/c.flac") | {"b/d.csv": b"", "e": b""}), "music")
    assert (inventory.audio, inventory.documents) == (("a.MP3", "b/c.flac"), ("b/d.csv", "e"))
    assert inventory.ignored(1) == 1


def test_the_highest_document_is_found() -> None:
    inventory = take_inventory(
        MemoryPlace(dict.fromkeys(["z/y/t.csv", "x/t.csv", "x/raw_t.csv"], b"1")), "t.csv from us"
    )
    assert inventory.find("t.csv") == "x/t.csv"
    assert inventory.find("y/t.csv") == "z/y/t.csv"
    assert inventory.seek("u.csv") is None
    with pytest.raises(SourceError, match=r"^s3://music/raw holds no u\.csv; expected t\.csv from us$"):
        inventory.find("u.csv")


def test_files_below_a_closed_folder_are_unreadable_and_not_missing() -> None:
    inventory = take_inventory(MemoryPlace(audio("a/1.mp3"), closed=("b", "c/d")), "music")
    faults = [inventory.fault(name) for name in ("a/1.mp3", "a/2.mp3", "b/1.mp3", "c/d/1.mp3", "c/1.mp3", "bb/1.mp3")]
    assert faults == [None, Fault.MISSING, Fault.UNREADABLE, Fault.UNREADABLE, Fault.MISSING, Fault.MISSING]


def test_most_files_decide_and_order_breaks_ties() -> None:
    pattern = re.compile(r"(\w+)/\d(\.\w+)")
    inventory = take_inventory(MemoryPlace(audio("b/1.wav", "b/2.wav", "a/1.wav", "a/1.mp3", "x.mp3")), "music")
    assert inventory.most_common(pattern) == ("b", ".wav")
    inventory = take_inventory(MemoryPlace(audio("b/1.wav", "b/1.mp3", "c/1.mp3")), "music")
    assert inventory.most_common(pattern) == ("b", ".mp3")
    assert inventory.most_common(re.compile("nothing")) is None


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="absent is not a folder; expected the files of X"):
        take_inventory(LocalPlace(tmp_path / "absent"), "the files of X")
    with pytest.raises(SourceError, match="is empty; expected the files of X"):
        take_inventory(LocalPlace(tmp_path), "the files of X")
    with pytest.raises(SourceError, match="cannot be listed: permission denied"):
        take_inventory(MemoryPlace({}, closed=("",)), "the files of X")


def test_a_link_that_leads_nowhere_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "t.csv").symlink_to("nowhere")
    inventory = take_inventory(LocalPlace(tmp_path), "t.csv from us")
    with pytest.raises(SourceError, match=r"t\.csv is not there; expected t\.csv from us"):
        inventory.read("t.csv")
