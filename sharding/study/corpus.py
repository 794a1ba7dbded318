"""The study corpus as a folder of audio files with labels, in three sizes.

    <folder>/study.json                          which corpus this is; written first
    <folder>/train/000/train-00000a-3f9a1c.ogg   take a of composition 0 of the training split, mono, 22,050 Hz
    <folder>/labels.csv                          path, tags, split, song_id; written last, when all songs are there

A track is a pure function of (seed, split, composition, take, seconds), so any number of jobs, kills and restarts give
the same files, and the tracks of size ``cpu`` are among those of size ``full``, in the same splits.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from clmr.errors import ConfigError, SourceError
from sharding.cores import usable_cores
from sharding.datasets.demo import encode
from sharding.publish import publish, remove_orphans
from sharding.study.arrange import arrange
from sharding.study.fluid import Player, find_player, play
from sharding.study.recording import RATE, record
from sharding.study.take import TAKES, Take, draw_takes
from sharding.synth.score import generator

EDITION = 1  # raise it whenever a track would sound different: file names change with it
ALBUM = 50  # compositions per folder


@dataclass(frozen=True)
class Size:
    """How large a corpus is."""

    compositions: dict[str, int]
    """By split; each has ``TAKES[split]`` tracks."""
    seconds: float
    """About how long a track is."""

    @property
    def tracks(self) -> int:
        """Of all splits."""
        return sum(TAKES[split] * count for split, count in self.compositions.items())


SIZES = {
    "cpu": Size({"train": 450, "valid": 100, "test": 200}, 30),
    "tiny": Size({"train": 3, "valid": 2, "test": 4}, 8),
    "full": Size({"train": 8000, "valid": 1000, "test": 3000}, 30),
}
"""The usual one first: 1,200, 12 and 20,000 tracks."""


def draw_corpus(size: str, seed: int = 0) -> list[Take]:
    """Every track of a corpus, drawn and not played.

    Raises:
        ConfigError: no such size.
    """
    chosen = _size(size)
    return [
        take
        for split, compositions in chosen.compositions.items()
        for number in range(compositions)
        for take in draw_takes(seed, split, number, chosen.seconds)
    ]


def make_corpus(
    folder: Path, *, size: str = "cpu", seed: int = 0, jobs: int = 0, soundfont: Path | None = None
) -> None:
    """Make the corpus, or what is still missing of it; a finished one is left alone.

    Args:
        folder: where to put it; two makers at a time do the same work twice.
        size: ``"tiny"``, ``"cpu"`` or ``"full"``.
        seed: any integer; another seed gives other compositions.
        jobs: how many fluidsynths play at a time; 0 for one per core.
        soundfont: FluidR3_GM.sf2, where it is in none of the usual places.

    Raises:
        ConfigError: no such size, or ``jobs`` is negative.
        SourceError: the folder holds something else, or fluidsynth or its soundfont is missing or failed.
    """
    _size(size)
    if jobs < 0:
        raise ConfigError(f"jobs is {jobs}: give the number of songs to play at a time, or 0 for one per core")
    _check_folder(folder, _identity(size, seed))
    takes = draw_corpus(size, seed)
    missing = [take for take in takes if not (folder / track_path(take)).is_file()]
    labels = label_table(takes)
    if not missing and _text(folder / "labels.csv") == labels:
        return
    player = find_player(soundfont) if missing else None
    with publish(folder / "study.json") as temporary:
        temporary.write_text(_identity(size, seed), encoding="utf-8")
    for album in {folder, *(folder / track_path(take).parent for take in missing)}:
        remove_orphans(album)
    if player is not None:
        _write_tracks(folder, player, missing, jobs or usable_cores(), len(takes))
    with publish(folder / "labels.csv") as temporary:
        temporary.write_text(labels, encoding="utf-8")


def track_path(take: Take) -> Path:
    """Where the track lies below the corpus' folder; the name changes whenever the track does."""
    digest = hashlib.blake2b(f"{EDITION} {take}".encode(), digest_size=3).hexdigest()
    album = f"{take.composition.number // ALBUM:03d}"
    return Path(take.composition.split) / album / f"{take.name}-{digest}.{take.recording.codec}"


def label_table(takes: Sequence[Take]) -> str:
    """``labels.csv``. The song_id is the composition's, so takes of one never meet in a batch, nor in two splits."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("path", "tags", "split", "song_id"))
    for take in takes:
        piece = take.composition
        writer.writerow((track_path(take).as_posix(), ";".join(take.tags), piece.split, piece.name))
    return table.getvalue()


def write_track(folder: Path, player: Player, take: Take) -> None:
    """Play one take and write its file."""
    piece = take.composition
    sound = play(player, arrange(take), take.recording)
    pcm = record(sound, take.recording, generator(piece.seed, piece.number, f"study/{take.name}/hiss"))
    with publish(folder / track_path(take)) as temporary:
        temporary.write_bytes(encode(pcm, RATE, take.recording.codec))


def _write_tracks(folder: Path, player: Player, takes: Sequence[Take], jobs: int, total: int) -> None:
    """In threads: the work is done by fluidsynth, by numpy and by the encoder, none of which hold the interpreter."""
    bar = tqdm(total=total, initial=total - len(takes), desc="study corpus", unit="song")
    with bar, ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(write_track, folder, player, take) for take in takes]
        try:
            for done in as_completed(running):
                done.result()
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def _size(name: str) -> Size:
    if name not in SIZES:
        raise ConfigError(f"size is {name!r}, but the study corpus comes in {', '.join(SIZES)}")
    return SIZES[name]


def _identity(size: str, seed: int) -> str:
    return json.dumps({"corpus": "study", "edition": EDITION, "size": size, "seed": seed}) + "\n"


def _check_folder(folder: Path, identity: str) -> None:
    """Refuse a folder with another corpus in it, or other music."""
    there = _text(folder / "study.json")
    if there == identity:
        return
    remedy = "ask for that one, give another folder, or remove this one to have it made anew"
    if there:
        raise SourceError(f"{folder} holds the corpus {there.strip()}, not {identity.strip()}: {remedy}")
    strangers = sorted(path.name for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []
    if strangers:
        raise SourceError(
            f"{folder} holds {strangers[0]}, but no study.json as the study corpus has: give an empty or a new folder"
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
