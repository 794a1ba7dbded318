"""Data set `folder`: any tree of audio files, with or without a ``labels.csv`` in its root."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from clmr.errors import SourceError
from sharding.datasets.catalog import Catalog, Recording, readable_name
from sharding.datasets.labels_csv import LabelRow, Labels, read_labels
from sharding.datasets.tree import Tree, make_key, walk
from sharding.faults import Fault
from sharding.storage import Place

LABELS_FILE = "labels.csv"
UNLABELLED = LabelRow(frozenset(), None, None)


def read_folder(dataset: str, source: Place, seed: int) -> Catalog:
    """List a folder's recordings.

    Every audio file is a recording, and so is every row of ``labels.csv`` whose file is not there, and every folder
    that cannot be listed: those two are skipped with their reason. Where ``labels.csv`` has splits, audio files it
    does not list are skipped too, as `unlisted`; they count under train. Without splits, songs are drawn for them.

    Raises:
        SourceError: no such folder, no audio in it, or a ``labels.csv`` that cannot be used.
    """
    tree = walk_tree(source)
    labels = _labels(source, tree)
    labels = replace(labels, rows=match_rows(labels.rows, [*tree.audio, *tree.others], source.address(LABELS_FILE)))
    names = sorted({*tree.audio, *labels.rows})
    if not names and not tree.closed:
        raise SourceError(
            f"{source.name} holds no audio among its {len(tree.others)} files; "
            f"expected mp3, ogg, opus, flac, wav, aiff or au files, in any subfolders"
        )
    vocabulary = tuple(sorted(set().union(*(row.tags for row in labels.rows.values()))))
    rows = {name: labels.rows.get(name, UNLABELLED) for name in [*names, *tree.closed]}
    songs = {name: row.song_id or readable_name(name) for name, row in rows.items()}
    splits = draw_splits(songs.values(), seed)
    unlisted = set(tree.audio) - set(labels.rows) if labels.has_splits else set()

    def recording(name: str) -> Recording:
        row = rows[name]
        split = (row.split or "train") if labels.has_splits else splits[songs[name]]
        fault = Fault.UNLISTED if name in unlisted else Fault.UNREADABLE if name in tree.closed else None
        tags = tuple(sorted(row.tags))
        return Recording(make_key(name), songs[name], split, tags, (name,), fault)

    return Catalog(dataset, vocabulary, tuple(map(recording, rows)), _count_ignored(tree, labels))


def walk_tree(source: Place) -> Tree:
    """List a source folder, which has to be there.

    Raises:
        SourceError: it is not, or may not be listed.
    """
    if source.root and not source.root.is_dir():
        raise SourceError(
            f"{source.name} is not a folder; give one that holds audio files (mp3, ogg, opus, flac, wav ...)"
        )
    tree = walk(source)
    if "" in tree.closed:
        raise SourceError(f"{source.name} cannot be listed: permission denied; change its mode or run as its owner")
    return tree


def _labels(source: Place, tree: Tree) -> Labels:
    path = source.address(LABELS_FILE)
    if LABELS_FILE not in tree.others and not (source.root and (source.root / LABELS_FILE).is_dir()):
        return Labels({}, has_splits=False)
    try:
        return read_labels(source.read(LABELS_FILE), path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise SourceError(
            f"{path} is not a file (a folder, or a link that leads nowhere); mend or remove it"
        ) from error


def match_rows(rows: Mapping[str, LabelRow], files: Iterable[str], listing: str) -> dict[str, LabelRow]:
    """The rows by the names of their files, which may write the same text in another Unicode form.

    Some systems store `é` as one code point (NFC), others as `e` and an accent (NFD); a file of exactly the row's name
    comes first. A row without a file keeps its name.

    Raises:
        SourceError: two files, or two rows, differ in nothing but their form.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for name in files:
        alike[unicodedata.normalize("NFC", name)].append(name)
    matched: dict[str, LabelRow] = {}
    for name, row in rows.items():
        found = alike.get(unicodedata.normalize("NFC", name), [name])
        if name not in found and len(found) > 1:
            raise SourceError(
                f"{listing}: {name} may be any of {len(found)} files whose names differ in Unicode form only "
                f"(NFC, NFD); rename them, or write the row as one of them"
            )
        file = name if name in found else found[0]
        if file in matched:
            raise SourceError(f"{listing}: two rows name {readable_name(file)}, in different Unicode forms; merge them")
        matched[file] = row
    return matched


def draw_splits(songs: Iterable[str], seed: int) -> dict[str, str]:
    """Train, valid and test for 80, 10 and 10 % of the songs, exactly, drawn by rank of a seeded hash.

    Valid and test get n / 10 songs each, halves rounded up: from 5 songs on no split is empty, and train never is.
    """
    ranked = sorted(set(songs), key=lambda song: hashlib.sha256(f"{seed}/{song}".encode()).digest())
    held_out = (len(ranked) + 5) // 10
    return {
        song: "valid" if rank < held_out else "test" if rank < 2 * held_out else "train"
        for rank, song in enumerate(ranked)
    }


def _count_ignored(tree: Tree, labels: Labels) -> int:
    return sum(name != LABELS_FILE and name not in labels.rows for name in tree.others)
