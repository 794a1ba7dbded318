"""Data set `jsonl`: manifests with one JSON object per line, as the MARBLE benchmark's data sets have them.

    <source>/GTZANGenre.train.jsonl
        {"audio_path": "data/GTZAN/genres/blues/blues.00012.wav", "label": "blues", ...}
    <source>/GTZANGenre.val.jsonl                                   or .valid.jsonl
    <source>/GTZANGenre.test.jsonl
    <source>/genres/blues/blues.00012.wav

Of an object's fields ``audio_path`` is needed; ``label`` is a text or a list of texts; ``song_id`` is taken where it is
there; every other field is left alone. The paths count from the folder that MARBLE runs in, or from anywhere else:
leading folders that do not exist below the source are dropped, the same number from all. Where a folder holds the
manifests of several tasks, the variant is the one to read, here GTZANGenre. The vocabulary is sorted.
"""

from __future__ import annotations

import json
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clmr.errors import SourceError
from sharding.datasets.catalog import Catalog, Recording, Request, readable_name
from sharding.datasets.choice import choose
from sharding.datasets.inventory import Inventory, take_inventory
from sharding.datasets.tree import make_key
from sharding.format import SPLITS

EXPECTED = "manifests NAME.train.jsonl, NAME.val.jsonl and NAME.test.jsonl, with the audio below the same folder"
HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # JSON can write one, files and tables cannot hold it
MANIFEST = re.compile(r"([^/]+)\.(train|val|valid|test)\.jsonl")


@dataclass(frozen=True, slots=True)
class Line:
    """One object of a manifest."""

    path: str
    """As written, normalised."""
    labels: frozenset[str]
    song_id: str
    """Empty where there is none."""
    split: str


def read_jsonl(request: Request) -> Catalog:
    """List the recordings that the manifests name.

    Raises:
        ConfigError: the variant is not the name of a manifest.
        SourceError: no manifest, a line that is not as described, or most of the audio is not there.
    """
    inventory = take_inventory(request.source, EXPECTED)
    manifests = _manifests(inventory, request)
    lines = [line for file, split in manifests.items() for line in _lines(inventory, file, split)]
    _check_songs(lines, inventory.source.name)
    files = {unicodedata.normalize("NFC", name): name for name in inventory.names}
    leading = _leading([line.path for line in lines], files)

    def recording(line: Line) -> Recording:
        below = _below(line.path, leading)
        name = files.get(unicodedata.normalize("NFC", below), below)
        song = line.song_id or readable_name(name)
        return Recording(make_key(name), song, line.split, tuple(sorted(line.labels)), (name,), inventory.fault(name))

    recordings = tuple(map(recording, lines))
    inventory.refuse_half(recordings, f"expected {EXPECTED}")
    vocabulary = tuple(sorted(set().union(*(line.labels for line in lines))))
    absent = [split for split in SPLITS if split not in manifests.values()]
    notes = (f"{inventory.source.name}: no manifest of the split {' and '.join(absent)}",) if absent else ()
    return Catalog("jsonl", vocabulary, recordings, inventory.ignored(len(manifests)), notes)


def _manifests(inventory: Inventory, request: Request) -> dict[str, str]:
    """The splits of the manifests to read, by file."""
    found = {name: match for name in inventory.documents if (match := MANIFEST.fullmatch(name)) is not None}
    names = tuple(sorted({match[1] for match in found.values()}))
    if not names:
        raise SourceError(f"{inventory.source.name} holds no manifests; expected {EXPECTED}")
    if len(names) > 1 and not request.variant:
        raise SourceError(
            f"{inventory.source.name} holds manifests of {', '.join(names)}; say which one as the variant"
        )
    chosen = choose(request, "jsonl here", variants=names)
    return {name: "valid" if match[2] == "val" else match[2] for name, match in found.items() if match[1] == chosen}


def _lines(inventory: Inventory, file: str, split: str) -> Iterator[Line]:
    where = inventory.source.address(file)
    for number, data in enumerate(inventory.read(file).splitlines(), 1):
        if not data.strip():
            continue
        try:
            fields = json.loads(data)
        except ValueError as error:
            raise SourceError(f"{where} line {number}: not a JSON object ({error}); get the file again") from error
        path = fields.get("audio_path") if isinstance(fields, dict) else None
        if not isinstance(path, str) or not path or HALF_CHARACTER.search(json.dumps(fields, ensure_ascii=False)):
            raise SourceError(
                f"{where} line {number}: no audio_path, or text that is not Unicode; every line needs one"
            )
        labels = _labels(fields.get("label"), f"{where} line {number}")
        song = str(fields.get("song_id") or "")
        yield Line(posixpath.normpath(path.replace("\\", "/")), labels, song, split)


def _check_songs(lines: Sequence[Line], source: str) -> None:
    splits: dict[str, str] = {}
    for line in lines:
        if line.song_id and splits.setdefault(line.song_id, line.split) != line.split:
            raise SourceError(
                f"{source}: song {line.song_id} is in {splits[line.song_id]} and in {line.split}; "
                f"give all recordings of a song one split"
            )


def _labels(label: object, where: str) -> frozenset[str]:
    if label is None:
        return frozenset()
    labels = label if isinstance(label, list) else [label]
    if not all(isinstance(tag, str) and tag for tag in labels):
        raise SourceError(
            f"{where}: the label is {json.dumps(label)[:60]}, but tags are a text or a list of texts; "
            f"remove the field label to take the audio without labels"
        )
    return frozenset(labels)


def _leading(paths: Sequence[str], files: dict[str, str]) -> int:
    """How many leading folders to drop from the paths so that most of them exist; the fewest of as many."""
    deepest = max((path.count("/") for path in paths), default=0)
    wanted = [unicodedata.normalize("NFC", path) for path in paths]
    return max(range(deepest + 1), key=lambda drop: sum(_below(path, drop) in files for path in wanted))


def _below(path: str, drop: int) -> str:
    """The path without its first folders; its file name always stays."""
    parts = path.split("/")
    return "/".join(parts[min(drop, len(parts) - 1) :])
