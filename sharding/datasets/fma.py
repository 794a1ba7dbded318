"""Data set `fma`: the Free Music Archive, with one top genre per track where it has one.

    <source>/fma_metadata/tracks.csv             106,574 tracks; three header lines
    <source>/fma_medium/NNN/NNNNNN.mp3           the track id in six digits, below its first three
    <source>/fma_medium/checksums                SHA-1 and name of every file of the archive; used where it is there

Variants: small, medium (the usual one), large are 30 s clips, each a part of the next and read from the smallest
archive that is there; full is whole tracks. Splits of medium: 19,922 / 2,505 / 2,573 (Defferrard et al. 2017).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from clmr.errors import SourceError
from sharding.datasets.catalog import Catalog, Recording, Request, check_count
from sharding.datasets.choice import choose
from sharding.datasets.id_lists import read_list
from sharding.datasets.inventory import TOLERATED, Inventory, take_inventory
from sharding.datasets.table import check_width, read_rows
from sharding.faults import Fault

HOME = "github.com/mdeff/fma"
TRACKS = "tracks.csv"
ARCHIVES = {
    "medium": ("fma_medium", "fma_large"),
    "small": ("fma_small", "fma_medium", "fma_large"),
    "large": ("fma_large",),
    "full": ("fma_full",),
}
"""By variant, the archives that hold its audio; the first variant is the usual one."""
SUBSETS = {"small": {"small"}, "medium": {"small", "medium"}}
"""Of the column set/subset; large and full take every track."""
SPLITS = {"training": "train", "validation": "valid", "test": "test"}
TRACKS_OF = {"small": 8_000, "medium": 25_000, "large": 106_574, "full": 106_574}
COLUMNS = {"subset": ("set", "subset"), "split": ("set", "split"), "genre": ("track", "genre_top")}
SHA1_LINE = re.compile(r"([0-9a-f]{40}) [ *]([0-9]{3}/[0-9]{6}\.mp3)")
BAD_CLIPS = frozenset(read_list("fma_bad_clips"))
WRONG_AUDIO = frozenset(read_list("fma_wrong_audio"))
KNOWN_BAD = {"small": BAD_CLIPS, "medium": BAD_CLIPS, "large": BAD_CLIPS | WRONG_AUDIO, "full": WRONG_AUDIO}


@dataclass(frozen=True, slots=True)
class Track:
    """One row of ``tracks.csv``."""

    number: str
    """Six digits."""
    split: str
    genre: str
    """Empty where there is none."""


def read_fma(request: Request) -> Catalog:
    """List one variant of the Free Music Archive.

    Raises:
        ConfigError: no such variant.
        SourceError: the metadata or the audio is missing, damaged or half unpacked.
    """
    variant = choose(request, "fma", variants=tuple(ARCHIVES))
    expected = f"fma_metadata/{TRACKS} and fma_{variant}/000/000002.mp3 ..., from {HOME}"
    inventory = take_inventory(request.source, expected)
    tracks = list(_tracks(inventory, variant))
    folder = _archive(inventory, variant)
    sums = _check_archive(inventory, folder)

    def recording(track: Track) -> Recording:
        name = f"{folder}/{track.number[:3]}/{track.number}.mp3"
        fault = Fault.KNOWN_BAD if track.number in KNOWN_BAD[variant] else inventory.fault(name)
        labels = (track.genre,) if track.genre else ()
        return Recording(track.number, track.number, track.split, labels, (name,), fault, sums.get(name, ""))

    recordings = tuple(map(recording, tracks))
    notes = check_count(
        f"{inventory.source.name}: {TRACKS}", len(tracks), TRACKS_OF[variant], f"tracks of fma_{variant}"
    )
    inventory.refuse_half(recordings, f"unpack it again, with 7z x {folder}.zip")
    vocabulary = tuple(sorted({track.genre for track in tracks} - {""}))
    checksums = f"{folder}/checksums" in inventory.names
    return Catalog("fma", vocabulary, recordings, inventory.ignored(1 + checksums), notes)


def _tracks(inventory: Inventory, variant: str) -> Iterator[Track]:
    file = inventory.find(TRACKS)
    where = inventory.source.address(file)
    rows = read_rows(inventory.read(file), where)
    tops, names, third = (next(rows, (0, []))[1] for _ in range(3))
    header = list(zip(tops, names, strict=False))
    missing = ["/".join(column) for column in COLUMNS.values() if column not in header]
    if missing or third[:1] != ["track_id"]:
        raise SourceError(
            f"{where}: no column {', '.join(missing) or 'track_id'}; get fma_metadata.zip from {HOME} again"
        )
    subset, split, genre = (header.index(column) for column in COLUMNS.values())
    wanted = SUBSETS.get(variant)
    for line, cells in rows:
        check_width(cells, header, where, line)
        if not cells[0].isdecimal() or cells[split] not in SPLITS:
            raise SourceError(f"{where} line {line}: no track id and split, but {cells[0]!r} and {cells[split]!r}")
        if wanted is None or cells[subset] in wanted:
            yield Track(f"{int(cells[0]):06d}", SPLITS[cells[split]], cells[genre])


def _archive(inventory: Inventory, variant: str) -> str:
    """The folder with the audio."""
    for archive in ARCHIVES[variant]:
        found = inventory.most_common(re.compile(rf"((?:.*/)?{archive})/[0-9]{{3}}/[0-9]{{6}}\.mp3"))
        if found is not None:
            return found[0]
    for archive in ARCHIVES[variant]:
        packed = inventory.seek(f"{archive}.zip")
        if packed is not None:
            raise SourceError(
                f"{inventory.source.address(packed)} is not unpacked; run there: 7z x {archive}.zip "
                f"(many versions of unzip cannot read it)"
            )
    raise SourceError(f"{inventory.source.name} holds no folder {ARCHIVES[variant][0]}; expected {inventory.expected}")


def _check_archive(inventory: Inventory, folder: str) -> dict[str, str]:
    """The checksums that an archive states; refused is one of whose own list of files too many are not there."""
    if f"{folder}/checksums" not in inventory.names:
        return {}
    named = read_checksums(inventory, folder)
    absent = sorted(name for name in named if name not in inventory.names)
    if len(absent) > TOLERATED * len(named):
        raise SourceError(
            f"{inventory.source.name}: {len(absent)} of the {len(named)} files that {folder}/checksums lists are "
            f"missing, such as {absent[0]}; unpack it again, with 7z x {folder}.zip"
        )
    return named


def read_checksums(inventory: Inventory, folder: str) -> dict[str, str]:
    """SHA-1 of every file of an archive, in hex, by its name below the source.

    Raises:
        SourceError: a line is not of the form that sha1sum prints.
    """
    where = inventory.source.address(f"{folder}/checksums")
    sums = {}
    for number, line in enumerate(inventory.read(f"{folder}/checksums").decode("ascii", "replace").splitlines(), 1):
        match = SHA1_LINE.fullmatch(line.strip())
        if match is None:
            raise SourceError(f"{where} line {number}: expected a SHA-1 and NNN/NNNNNN.mp3; unpack the archive again")
        sums[f"{folder}/{match[2]}"] = match[1]
    return sums
