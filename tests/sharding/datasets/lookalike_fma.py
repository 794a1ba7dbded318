"""The Free Music Archive's tracks.csv with the true counts, and archives of every size."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator

from tests.sharding.datasets.lookalike_place import AUDIO, audio

GENRE_NAMES = (
    "Blues,Classical,Country,Easy Listening,Electronic,Experimental,Folk,Hip-Hop,Instrumental,International,Jazz,"
    "Old-Time / Historic,Pop,Rock,Soul-RnB,Spoken"
)
GENRES = GENRE_NAMES.split(",")
TRACKS = 106_574
MEDIUM = {"training": 19_922, "validation": 2_505, "test": 2_573}
SMALL = 8_000
SHORT_OR_EMPTY = (
    "001486 005574 065753 080391 098558 098559 098560 098565 098566 098567 098568 098569 098571 099134 105247 108924 "
    "108925 126981 127336 133297 143992"
)
SHORT_OR_EMPTY_IN_SMALL = "098565 098567 098569 099134 108925 133297"
OF_ANOTHER_TRACK = "071826 071827 087435 095253 095259 095263 102144 113025 113604 138485"
BAD_CLIPS, BAD_IN_SMALL, WRONG_AUDIO = map(str.split, (SHORT_OR_EMPTY, SHORT_OR_EMPTY_IN_SMALL, OF_ANOTHER_TRACK))
TOPS = ("", *["album"] * 13, *["artist"] * 17, *["set"] * 2, *["track"] * 20)
NAMES = (
    *("", *(f"a{at}" for at in range(13)), *(f"b{at}" for at in range(17)), "split", "subset"),
    *(f"c{at}" for at in range(7)),
    "genre_top",
    *(f"c{at}" for at in range(8, 20)),
)


def subsets() -> Iterator[tuple[int, str, str, str]]:
    """Track id, subset, split and top genre of every track."""
    known = [int(number) for number in (*BAD_IN_SMALL, *sorted({*BAD_CLIPS} - {*BAD_IN_SMALL}), *WRONG_AUDIO)]
    small, medium = known[:6], known[6:21]
    free = (number for number in range(2, 156_000) if number not in set(known))
    small += [next(free) for _ in range(SMALL - len(small))]
    medium += [next(free) for _ in range(sum(MEDIUM.values()) - SMALL - len(medium))]
    splits = [split for split, count in MEDIUM.items() for _ in range(count)]
    for at, number in enumerate(small + medium):
        genre = GENRES[2 * (at % 8)] if at < SMALL else GENRES[at % 16]
        yield number, "small" if at < SMALL else "medium", splits[at], genre
    rest = known[21:]
    rest += [next(free) for _ in range(TRACKS - SMALL - len(medium) - len(rest))]
    for at, number in enumerate(rest):
        yield number, "large", ("training", "test")[at % 2], GENRES[at % 16] if at % 3 == 0 else ""


def tracks_csv(rows: list[tuple[int, str, str, str]]) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([TOPS, NAMES, ("track_id", *[""] * 52)])
    split, subset, genre = (NAMES.index(name) for name in ("split", "subset", "genre_top"))
    cells = [""] * 53
    cells[1], cells[14] = 'A "quoted" note,\nof two lines', "Müller & Søn"
    for number, of, part, top in rows:
        cells[0], cells[split], cells[subset], cells[genre] = str(number), part, of, top
        writer.writerow(cells)
    return file.getvalue().encode()


def fma(rows: list[tuple[int, str, str, str]], archive: str = "fma_medium") -> dict[str, bytes]:
    """Metadata, and an archive with the tracks that belong into it."""
    of = {"fma_small": {"small"}, "fma_medium": {"small", "medium"}}.get(archive, {"small", "medium", "large"})
    names = [f"{number:06d}"[:3] + f"/{number:06d}.mp3" for number, subset, _, _ in rows if subset in of]
    sha1 = hashlib.sha1(AUDIO, usedforsecurity=False).hexdigest()
    return {
        "fma_metadata/tracks.csv": tracks_csv(rows),
        "fma_metadata/raw_tracks.csv": b"",
        **audio(*(f"{archive}/{name}" for name in names)),
        f"{archive}/checksums": "".join(f"{sha1}  {name}\n" for name in names).encode(),
    }
