"""The two published forms of the Million Song Dataset's tagging split, read into one.

tsv     {train,val,test}_gt_msd.tsv         TRxxxxxx <TAB> [50 times 0 or 1]
        output_labels_msd.txt               the 50 tags, as a Python list behind "MSD_LABELS ="
        MSD_id_to_7D_id.pkl                 dict: MSD track id -> 7digital id
pickle  filtered_list_train.cP              list of MSD track ids: 201,680 for training, then 11,774 for validation
        filtered_list_test.cP               28,435
        msd_id_to_tag_vector.cP             dict: MSD track id -> 50 times 0 or 1
        50tagList.txt                       the 50 tags, one per line
        MSD_id_to_7D_id.pkl                 as above
        7D_id_to_path.pkl                   dict: 7digital id -> 8/9/8947470.clip.mp3; optional
"""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from clmr.errors import SourceError
from sharding.datasets.inventory import Inventory
from sharding.datasets.restricted_pickle import load_pickle

TRAIN, VALID, TEST = 201_680, 11_774, 28_435
TSV = {"train": "train_gt_msd.tsv", "valid": "val_gt_msd.tsv", "test": "test_gt_msd.tsv"}
TSV_LABELS = "output_labels_msd.txt"
IDS = "MSD_id_to_7D_id.pkl"
TRAIN_LIST, TEST_LIST, VECTORS, TAG_LIST = (
    "filtered_list_train.cP",
    "filtered_list_test.cP",
    "msd_id_to_tag_vector.cP",
    "50tagList.txt",
)
PATHS = "7D_id_to_path.pkl"
FORMS: Mapping[str, tuple[str, ...]] = {
    "tsv": (*TSV.values(), TSV_LABELS, IDS),
    "pickle": (TRAIN_LIST, TEST_LIST, VECTORS, TAG_LIST, IDS),
}
"""By form, the files it needs."""
ORIGINS = {
    "tsv": "the tsv files of github.com/jordipons/musicnn-training (data/index/msd)",
    "pickle": "the pickles of github.com/jongpillee/music_dataset_split (MSD_split)",
}
TRACK_ID = re.compile(r"TR[A-Z0-9]{16}")
PREVIEW_PATH = re.compile(r"([0-9]/[0-9]/[0-9]+)\.clip\.mp3")

Row = tuple[str, str, tuple[str, ...]]
"""MSD track id, split, tags."""


@dataclass(frozen=True)
class Splits:
    """One form of the split."""

    labels: tuple[str, ...]
    rows: Iterator[Row]
    """Of every track, read as they are asked for."""
    previews: Mapping[str, object]
    """7digital id by MSD track id."""
    paths: Mapping[str, object]
    """Path of a preview by 7digital id; empty where the form has no such list."""
    files: int
    """How many files it was read from."""

    def stem(self, track: str) -> str | None:
        """Where the preview of a track lies below the audio folder, without extension; None where nobody says."""
        preview = str(self.previews.get(track, ""))
        match = PREVIEW_PATH.fullmatch(str(self.paths.get(preview, ""))) if self.paths else None
        if match is not None:
            return match[1]
        known = preview.isdecimal() and len(preview) > 1
        return f"{preview[0]}/{preview[1]}/{preview}" if known else None


def read_splits(inventory: Inventory, form: str) -> Splits:
    """Read the split in one form, or, where ``form`` is empty, in the one that is there.

    Raises:
        SourceError: a file is missing, damaged or not what it should be.
    """
    missing = {name: [file for file in files if not inventory.seek(file)] for name, files in FORMS.items()}
    chosen = form or min(FORMS, key=lambda name: len(missing[name]))
    if missing[chosen]:
        nothing = len(missing[chosen]) >= len(FORMS[chosen]) - 1  # both forms have one file in common
        origin = " or ".join(ORIGINS.values()) if nothing and not form else ORIGINS[chosen]
        raise SourceError(
            f"{inventory.source.name} holds no {', '.join(missing[chosen])}; put {origin} into it, in any subfolder"
        )
    read = _read_tsv if chosen == "tsv" else _read_pickles
    return read(inventory)


def _read_tsv(inventory: Inventory) -> Splits:
    file = inventory.find(TSV_LABELS)
    _, _, literal = inventory.read(file).decode("utf-8", "replace").rpartition("=")
    try:
        labels = ast.literal_eval(literal.strip())
    except (ValueError, SyntaxError) as error:
        raise SourceError(f"{inventory.source.address(file)}: no list of labels; {_again('tsv')}") from error
    return Splits(
        _checked_labels(labels, inventory.source.address(file)),
        _tsv_rows(inventory, tuple(labels)),
        _mapping(inventory, IDS),
        {},
        len(FORMS["tsv"]),
    )


def _tsv_rows(inventory: Inventory, labels: tuple[str, ...]) -> Iterator[Row]:
    known: dict[bytes, tuple[str, ...]] = {}  # few of the 2^50 vectors occur
    for split, name in TSV.items():
        file = inventory.find(name)
        where = inventory.source.address(file)
        for number, line in enumerate(io.BytesIO(inventory.read(file)), 1):
            track, _, vector = line.rstrip().partition(b"\t")
            if vector not in known:
                try:
                    known[vector] = _tags(json.loads(vector), labels)
                except (TypeError, ValueError) as error:
                    raise SourceError(
                        f"{where} line {number}: expected a track id, TAB and {len(labels)} times 0 or 1; "
                        f"{_again('tsv')}"
                    ) from error
            yield _checked_track(track.decode("ascii", "replace"), f"{where} line {number}"), split, known[vector]


def _read_pickles(inventory: Inventory) -> Splits:
    file = inventory.find(TAG_LIST)
    labels = inventory.read(file).decode("utf-8", "replace").split("\n")
    checked = _checked_labels([label.strip() for label in labels if label.strip()], inventory.source.address(file))
    paths = _mapping(inventory, PATHS) if inventory.seek(PATHS) else {}
    files = len(FORMS["pickle"]) + bool(paths)
    return Splits(checked, _pickle_rows(inventory, checked), _mapping(inventory, IDS), paths, files)


def _pickle_rows(inventory: Inventory, labels: tuple[str, ...]) -> Iterator[Row]:
    held_in, held_out = _list(inventory, TRAIN_LIST, TRAIN + VALID), _list(inventory, TEST_LIST, TEST)
    vectors = _mapping(inventory, VECTORS)
    where = inventory.source.address(inventory.find(VECTORS))
    known: dict[bytes, tuple[str, ...]] = {}
    for split, tracks in (("train", held_in[:TRAIN]), ("valid", held_in[TRAIN:]), ("test", held_out)):
        for track in tracks:
            if _checked_track(track, f"{inventory.source.name}, the lists of tracks") not in vectors:
                raise SourceError(f"{where}: no tags of {track}, which is in the split {split}; {_again('pickle')}")
            vector = np.asarray(vectors[track])
            code = vector.tobytes()
            if code not in known:
                try:
                    known[code] = _tags(vector.ravel().tolist(), labels)
                except (TypeError, ValueError) as error:
                    raise SourceError(
                        f"{where}: expected {len(labels)} times 0 or 1 for {track}; {_again('pickle')}"
                    ) from error
            yield track, split, known[code]


def _list(inventory: Inventory, name: str, length: int) -> list[Any]:
    file = inventory.find(name)
    where = inventory.source.address(file)
    loaded = load_pickle(inventory.read(file), where)
    if not isinstance(loaded, list) or len(loaded) != length:
        held = f"{len(loaded)} entries" if isinstance(loaded, list) else f"a {type(loaded).__name__}"
        raise SourceError(f"{where}: {held} instead of a list of {length:,} track ids; {_again('pickle')}")
    return [entry.decode("latin1") if isinstance(entry, bytes) else entry for entry in loaded]


def _mapping(inventory: Inventory, name: str) -> dict[str, object]:
    file = inventory.find(name)
    where = inventory.source.address(file)
    loaded = load_pickle(inventory.read(file), where)
    if not isinstance(loaded, dict):
        raise SourceError(f"{where}: a {type(loaded).__name__} instead of a dict; {_again('pickle')}")
    return {key if isinstance(key, str) else str(key): value for key, value in loaded.items()}


def _tags(vector: object, labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels whose numbers are 1."""
    if not isinstance(vector, list) or len(vector) != len(labels) or any(number not in {0, 1} for number in vector):
        raise ValueError("not a vector of tags")
    return tuple(label for label, number in zip(labels, vector, strict=True) if number)


def _checked_labels(labels: object, where: str) -> tuple[str, ...]:
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels) or len(set(labels)) != 50:
        raise SourceError(f"{where}: expected 50 different tags; get it again")
    return tuple(labels)


def _checked_track(track: object, where: str) -> str:
    if not isinstance(track, str) or not TRACK_ID.fullmatch(track):
        raise SourceError(f"{where}: {track!r} is no MSD track id, such as TRAAAAW128F429D538; get the file again")
    return track


def _again(form: str) -> str:
    return f"get {ORIGINS[form]} again"
