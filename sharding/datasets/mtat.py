"""Data set `mtat`: MagnaTagATune, 25,863 clips of 29 s from 5,405 songs, with tags.

    <source>/annotations_final.csv                               TAB-separated: clip_id, 188 tags as 0 or 1, mp3_path
    <source>/{0..9,a..f}/<artist>-<album>-<NN>-<title>-<start>-<end>.mp3         also below raw/ or mp3/
    <source>/split/mtat/{train,valid,test}.npy                   Won's lists, used where they are there

Variants, by the folder an mp3 lies in (0 to b for training, c for validation, d to f for testing):

    pons  all clips: 18,706 / 1,825 / 5,329 (Pons et al. 2018; the CLMR paper)
    lee   clips with at least one of the 50 tags: 15,244 / 1,529 / 4,332 (Lee et al. 2017)
    won   as lee, with the three bad clips in the list: 15,247 / 1,529 / 4,332 (Won et al. 2020)

Three clips of the training split are broken. In every variant they are recorded, and skipped, as known bad.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from clmr.errors import SourceError
from sharding.datasets.catalog import Catalog, Recording, Request, check_count
from sharding.datasets.choice import choose
from sharding.datasets.id_lists import read_list
from sharding.datasets.inventory import Inventory, take_inventory
from sharding.datasets.mtat_lists import read_lists
from sharding.datasets.table import check_width, column, read_rows
from sharding.datasets.tree import make_key
from sharding.faults import Fault

ANNOTATIONS = "annotations_final.csv"
PAGE = "mirg.city.ac.uk/datasets/magnatagatune"
EXPECTED = f"{ANNOTATIONS} beside the folders 0 to 9 and a to f with the mp3 files, from {PAGE}"
UNPACK = "cat mp3.zip.00? > mp3_all.zip; unzip mp3_all.zip"
ARCHIVES = ("mp3.zip.001", "mp3.zip.002", "mp3.zip.003")
FOLDERS = "0123456789abcdef"
TAGS = read_list("mtat_tags")
CLIPS = 25_863  # rows of the published annotation
BAD_CLIPS = frozenset({"35644", "55753", "57881"})  # the first has 0 bytes, the others do not decode
MP3_PATH = re.compile(r"([0-9a-f])/([^/]+)-([0-9]+)-[0-9]+\.mp3")
ON_DISK = re.compile(r"((?:.*/)?)[0-9a-f]/[^/]+\.mp3")


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of the annotations."""

    number: str
    """The clip_id."""
    path: str
    """As the row has it: folder and file name."""
    song: str
    """The file name without start and end."""
    start: int
    """Seconds into the song."""
    labels: tuple[str, ...]
    split: str
    fault: Fault | None


def read_mtat(request: Request) -> Catalog:
    """List MagnaTagATune; its unit is ``clip`` or ``song``.

    With ``song`` the clips of a song that are in the variant are joined in the order of their start, and carry the
    union of their tags; a clip that is known bad or not there is left out of its song and recorded by itself.

    Raises:
        ConfigError: no such variant or unit.
        SourceError: a file is missing or damaged, the download is half-finished, or a song stands in two splits.
    """
    variant = choose(request, "mtat", variants=("pons", "lee", "won"), units=("clip", "song"))
    inventory = take_inventory(request.source, EXPECTED)
    annotations = inventory.find(ANNOTATIONS)
    root = _audio_root(inventory)
    clips = _clips(inventory, annotations, root)
    notes = check_count(inventory.source.address(annotations), len(clips), CLIPS, "clips")
    lists = read_lists(inventory) if variant == "won" else None
    if lists is not None:
        clips = _listed(clips, lists, inventory)
    elif variant != "pons":
        clips = [clip for clip in clips if clip.labels or clip.number in BAD_CLIPS]
    _check_songs(clips)
    inventory.refuse_half([_clip(clip, root) for clip in clips], f"unpack the archives again: {UNPACK}")
    recordings = _songs(clips, root) if request.unit == "song" else (_clip(clip, root) for clip in clips)
    return Catalog("mtat", TAGS, tuple(recordings), inventory.ignored(1 + 3 * (lists is not None)), notes)


def _audio_root(inventory: Inventory) -> str:
    """Where the sixteen folders are."""
    archives = [name for name in ARCHIVES if inventory.seek(name)]
    found = inventory.most_common(ON_DISK)
    if found is not None:
        (root,) = found
        there = {name[len(root)] for name in inventory.audio if name.startswith(root) and ON_DISK.fullmatch(name)}
        missing = [folder for folder in FOLDERS if folder not in there]
        if not missing:
            return root
        remedy = f"unpack the archives again: {UNPACK}" if archives else f"get the archives from {PAGE}"
        raise SourceError(
            f"{inventory.source.name} holds no mp3 in {', '.join(f'{root}{f}' for f in missing)}; {remedy}"
        )
    if archives and len(archives) < len(ARCHIVES):
        absent = ", ".join(name for name in ARCHIVES if name not in archives)
        raise SourceError(f"{inventory.source.name} holds {', '.join(archives)} but not {absent}; get it from {PAGE}")
    if archives:
        raise SourceError(f"{inventory.source.name}: the archives are not unpacked; run there: {UNPACK}")
    raise SourceError(f"{inventory.source.name} holds none of the mp3 folders; expected {EXPECTED}")


def _clips(inventory: Inventory, annotations: str, root: str) -> list[Clip]:
    where = inventory.source.address(annotations)
    rows = read_rows(inventory.read(annotations), where, "\t")
    _, header = next(rows, (1, []))
    number, path = (column(header, name, where) for name in ("clip_id", "mp3_path"))
    tags = [(tag, column(header, tag, where)) for tag in TAGS]
    clips = []
    for line, cells in rows:
        check_width(cells, header, where, line)
        match = MP3_PATH.fullmatch(cells[path])
        if match is None or not cells[number].isdecimal():
            raise SourceError(
                f"{where} line {line}: {cells[number]!r} with {cells[path]!r} is no clip; download it again"
            )
        folder, song, start = match.groups()
        split = "train" if folder < "c" else "valid" if folder == "c" else "test"
        labels = tuple(tag for tag, at in tags if cells[at] == "1")
        bad = cells[number] in BAD_CLIPS
        fault = Fault.KNOWN_BAD if bad else inventory.fault(root + cells[path])
        clips.append(Clip(cells[number], cells[path], song, int(start), labels, split, fault))
    return clips


def _listed(clips: Iterable[Clip], lists: dict[str, str], inventory: Inventory) -> list[Clip]:
    """The clips that Won's lists name, in the splits they give."""
    known = {clip.path: clip for clip in clips}
    strangers = [path for path in lists if path not in known]
    if strangers:
        raise SourceError(
            f"{inventory.source.name}: split/mtat lists {strangers[0]}, which {ANNOTATIONS} does not have; "
            f"remove split/mtat to have the split computed"
        )
    return [replace(known[path], split=split) for path, split in lists.items()]


def _check_songs(clips: Iterable[Clip]) -> None:
    splits: dict[str, str] = {}
    for clip in clips:
        if splits.setdefault(clip.song, clip.split) != clip.split:
            raise SourceError(
                f"song {clip.song} has clips in {splits[clip.song]} and in {clip.split}; a song belongs in one split: "
                f"download {ANNOTATIONS} again from {PAGE}"
            )


def _clip(clip: Clip, root: str) -> Recording:
    return Recording(clip.number, clip.song, clip.split, clip.labels, (root + clip.path,), clip.fault)


def _songs(clips: Iterable[Clip], root: str) -> Iterator[Recording]:
    songs: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.fault is None:
            songs[clip.song].append(clip)
        else:
            yield _clip(clip, root)
    for song, joined in songs.items():
        joined.sort(key=lambda clip: (clip.start, clip.path))
        tags = frozenset(tag for clip in joined for tag in clip.labels)
        labels = tuple(tag for tag in TAGS if tag in tags)
        parts = tuple(root + clip.path for clip in joined)
        yield Recording(make_key(f"{song}.mp3"), song, joined[0].split, labels, parts)
