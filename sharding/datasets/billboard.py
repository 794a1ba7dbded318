"""Data set `billboard`: the songs of the McGill Billboard annotations, with audio of the user's own; no labels.

    <source>/billboard-2.0-index.csv                                   id,chart_date,...,title,artist,...
    <source>/audio/<decade>s/<artist>/<title>/audio.flac               as mirdata has it
    <source>/audio/0003.mp3  or  <source>/audio/0003/anything.mp3      or by the id of any of the song's slots

Of 1,300 slots in the charts 890 are annotated, with 740 different songs: a song is one recording, named by its lowest
id, and counts as missing where there is no audio of it. Any audio extension will do, and so will another case or
Unicode form of artist and title. Splits are drawn by song from the seed, 80 / 10 / 10. It is for pretraining; the 461
songs of the CLMR paper were never published.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from clmr.errors import SourceError
from sharding.datasets.catalog import Catalog, Recording, Request
from sharding.datasets.choice import choose
from sharding.datasets.folder import draw_splits
from sharding.datasets.inventory import Inventory, take_inventory
from sharding.datasets.table import check_width, column, read_rows
from sharding.faults import Fault

INDEX = "billboard-2.0-index.csv"
PAGE = "the McGill Billboard Project's page at ddmal.music.mcgill.ca"
EXPECTED = f"{INDEX} from {PAGE}, and your own audio as audio/<decade>s/<artist>/<title>/audio.flac or audio/0003.flac"
BY_TITLE = re.compile(r"(?:.*/)?audio/[0-9]{4}s/(.+)/audio\.\w+")
BY_ID = re.compile(r"(?:.*/)?audio/0*([0-9]{1,4})(?:\.\w+|/[^/]+)")

Song = tuple[str, str]
"""Artist and title, in one case and Unicode form."""


def read_billboard(request: Request) -> Catalog:
    """List the annotated songs.

    Raises:
        ConfigError: a variant is asked for; there is none.
        SourceError: the index is missing or damaged, or there is no audio of any song.
    """
    choose(request, "billboard")
    inventory = take_inventory(request.source, EXPECTED)
    songs = _songs(inventory)
    by_title, by_id = _files(inventory.audio)
    keys = {song: f"{min(ids):04d}" for song, ids in songs.items()}
    splits = draw_splits(keys.values(), request.seed)

    def recording(song: Song, ids: list[int]) -> Recording:
        found = by_title.get("/".join(song)) or by_title.get("/".join(part.replace("/", "_") for part in song))
        found = found or next((by_id[number] for number in sorted(ids) if number in by_id), None)
        key = keys[song]
        fault = None if found else Fault.MISSING
        return Recording(key, key, splits[key], (), (found or f"audio/{key}.flac",), fault)

    recordings = tuple(recording(song, ids) for song, ids in songs.items())
    inventory.refuse_half(recordings, f"expected {EXPECTED}", tolerated=1)
    return Catalog("billboard", (), recordings, inventory.ignored(1))


def _songs(inventory: Inventory) -> dict[Song, list[int]]:
    """The ids of the slots of every annotated song."""
    index = inventory.find(INDEX)
    where = inventory.source.address(index)
    rows = read_rows(inventory.read(index), where)
    _, header = next(rows, (1, []))
    number, artist, title = (column(header, name, where) for name in ("id", "artist", "title"))
    songs: dict[Song, list[int]] = defaultdict(list)
    for line, cells in rows:
        check_width(cells, header, where, line)
        if not cells[number].isdecimal():
            raise SourceError(f"{where} line {line}: {cells[number]!r} is no id; get it again from {PAGE}")
        if cells[artist].strip() and cells[title].strip():  # the others were not annotated
            songs[_plain(cells[artist]), _plain(cells[title])].append(int(cells[number]))
    return songs


def _files(audio: Iterable[str]) -> tuple[dict[str, str], dict[int, str]]:
    """Audio by artist and title, and by id; of several files the first."""
    by_title: dict[str, str] = {}
    by_id: dict[int, str] = {}
    for name in audio:
        if match := BY_TITLE.fullmatch(name):
            by_title.setdefault(_plain(match[1]), name)
        elif match := BY_ID.fullmatch(name):
            by_id.setdefault(int(match[1]), name)
    return by_title, by_id


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip()).casefold()
