"""MagnaTagATune's annotations and files with the true counts, made up in everything else."""

from __future__ import annotations

from collections.abc import Mapping

from sharding.datasets.mtat import TAGS
from tests.sharding.datasets.lookalike_place import audio

ROWS = dict(
    zip("0123456789abcdef", (1108, 1543, 1562, 1238, 2421, 1604, 1788, 1163, 1144, 1773, 1417, 1948), strict=False)
) | {"c": 1825, "d": 1677, "e": 1547, "f": 2105}
"""Rows of the annotations by folder, as counted in the real file."""
SONGS = dict.fromkeys("0123456789a", 327) | {"b": 326} | {"c": 371, "d": 371, "e": 370, "f": 370}
"""Songs by folder: 3,923 of them in 0 to b, 5,405 in all. How they spread over the folders is made up."""
UNTAGGED = {"0": 1108, "1": 1543, "2": 811, "c": 296, "d": 997}
"""Rows without any of the 50 tags: 3,462 of the training split's sound clips, 296 and 997 of the others'."""
BAD = {
    "35644": "6/norine_braun-now_and_zen-08-gently-117-146.mp3",
    "55753": "8/jacob_heringman-josquin_des_prez_lute_settings-19-gintzler__pater_noster-204-233.mp3",
    "57881": "9/american_baroque-dances_and_suites_of_rameau_and_couperin-25-le_petit_rien_xiveme_ordre_couperin"
    "-88-117.mp3",
}
OTHER_TAGS = tuple(f"rare tag {number}" for number in range(138))
COLUMNS = ("clip_id", *sorted(TAGS + OTHER_TAGS), "mp3_path")
"""188 tags between id and path, in an order that is not that of the 50."""


def annotated(rows: Mapping[str, int] = ROWS) -> list[tuple[str, str, tuple[str, ...]]]:
    """clip_id, mp3_path and tags of every clip, the last part of a song first."""
    clips: list[tuple[str, str, tuple[str, ...]]] = []
    number = 1
    for folder, count in rows.items():
        bad = [(clip, path) for clip, path in BAD.items() if path.startswith(folder)] if rows is ROWS else []
        clips += [(clip, path, ("guitar",)) for clip, path in bad]
        songs = SONGS[folder] - len(bad)
        for at in reversed(range(count - len(bad))):
            number += 1 + (str(number + 1) in BAD)
            song, part = at % songs, at // songs
            path = f"{folder}/artist-album_{folder}-{song:02d}-a_title-{29 * part}-{29 * part + 29}.mp3"
            tagged = at >= UNTAGGED.get(folder, 0)
            clips.append((str(number), path, (TAGS[at % 50], TAGS[part % 50]) if tagged else ("rare tag 3",)))
    return clips


def table(clips: list[tuple[str, str, tuple[str, ...]]]) -> bytes:
    """The annotations as their file has them: TABs and quotes."""
    lines = ['"' + '"\t"'.join(COLUMNS) + '"']
    cells = {tags: '"\t"'.join("01"[tag in tags] for tag in COLUMNS[1:-1]) for tags in {clip[2] for clip in clips}}
    lines += [f'"{number}"\t"{cells[tags]}"\t"{path}"' for number, path, tags in clips]
    return ("\n".join(lines) + "\n").encode()


def mtat(rows: Mapping[str, int] = ROWS, root: str = "") -> dict[str, bytes]:
    """Annotations and mp3 files; of the bad ones the first is not there."""
    clips = annotated(rows)
    files = audio(*(root + path for _, path, _ in clips if path != BAD["35644"]))
    return files | {"annotations_final.csv": table(clips)}
