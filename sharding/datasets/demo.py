"""The demo corpus: songs this project plays itself, as real audio files with labels.

    <folder>/album-00/song-0000-3f9a1c.mp3 ...   MP3, Ogg Vorbis, FLAC, WAV at 44.1, 22.05, 16 kHz, mono and stereo
    <folder>/labels.csv                          path, tags, split, song_id; written last, when all songs are there

A song is a pure function of (seed, number), so any number of jobs, kills and restarts give the same files.
"""

from __future__ import annotations

import csv
import hashlib
import io
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from tqdm import tqdm

from clmr.errors import ConfigError, SourceError
from sharding.cores import usable_cores
from sharding.publish import publish
from sharding.synth.ogg import set_serial
from sharding.synth.render import render
from sharding.synth.score import Score, draw_score

EDITION = 1  # raise it whenever a song would sound different: file names change with it
ALBUM = 20  # songs per folder
CODECS = {
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "flac": ("FLAC", "PCM_16"),
    "wav": ("WAV", "PCM_16"),
}


def make_corpus(folder: Path, *, songs: int = 320, seed: int = 0, jobs: int = 0) -> None:
    """Make the corpus, or what is still missing of it; a finished one is left alone.

    Args:
        folder: where to put it; one maker at a time.
        songs: how many, at least 3. Of 320, 96 are for training, 24 for validation and 200 for testing. From about
            250 songs on, every split is sure to hold songs with and without every tag.
        seed: any integer; another seed gives other songs.
        jobs: processes; 0 for one per core.

    Raises:
        ConfigError: ``songs`` or ``jobs`` is out of range.
        SourceError: the folder holds something else, or a worker died.
    """
    if songs < 3:
        raise ConfigError(f"songs is {songs}, but each of the three splits needs one: ask for 3 or more (320 is usual)")
    if jobs < 0:
        raise ConfigError(f"jobs is {jobs}: give the number of processes, or 0 for one per core")
    scores = [draw_score(seed, number) for number in range(songs)]
    labels = _labels(scores)
    if _is_finished(folder, scores, labels):
        return
    missing = [score.number for score in scores if not (folder / song_path(score)).exists()]
    _write_songs(folder, seed, missing, jobs or usable_cores(), songs)
    for left_over in folder.glob("album-*/.*.part"):
        left_over.unlink()  # of a maker that was killed
    with publish(folder / "labels.csv") as temporary:
        temporary.write_text(labels, encoding="utf-8")


def song_path(score: Score) -> Path:
    """Where the song lies below the corpus' folder; the name changes whenever the song does."""
    digest = hashlib.blake2b(f"{EDITION} {score}".encode(), digest_size=3).hexdigest()
    name = f"song-{score.number:04d}-{digest}.{score.recording.extension}"
    return Path(f"album-{score.number // ALBUM:02d}") / name


def split_of(number: int, songs: int) -> str:
    """The split of song ``number``: the first 30 % train, the next 7.5 % validate, the rest test."""
    train = max(1, round(0.3 * songs))
    valid = max(1, round(0.075 * songs))
    if number < train:
        return "train"
    return "valid" if number < train + valid else "test"


def encode(pcm: npt.NDArray[np.int16], rate: int, extension: str) -> bytes:
    """A whole audio file.

    Args:
        pcm: int16, shape ``[T, channels]``.
        rate: samples per second.
        extension: ``"mp3"``, ``"ogg"``, ``"flac"`` or ``"wav"``.
    """
    container, codec = CODECS[extension]
    # PCM files take the integers as they are; the MP3 encoder of libsndfile 1.2.2 garbles stereo unless it gets floats.
    signal = pcm if codec == "PCM_16" else pcm.astype(np.float32) / 32768
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, pcm.shape[1], codec, format=container) as writer:
        for at in range(0, len(pcm), 1 << 16):  # the Vorbis encoder keeps a write on its stack
            writer.write(signal[at : at + (1 << 16)])
    encoded = file.getvalue()
    return set_serial(encoded, 1) if extension == "ogg" else encoded


def write_song(folder: Path, seed: int, number: int) -> None:
    """Play one song and write its file."""
    score = draw_score(seed, number)
    encoded = encode(render(score), score.recording.rate, score.recording.extension)
    with publish(folder / song_path(score)) as temporary:
        temporary.write_bytes(encoded)


def _labels(scores: list[Score]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("path", "tags", "split", "song_id"))
    for score in scores:
        split = split_of(score.number, len(scores))
        writer.writerow((song_path(score).as_posix(), ";".join(score.tags), split, f"song-{score.number:04d}"))
    return table.getvalue()


def _is_finished(folder: Path, scores: list[Score], labels: str) -> bool:
    """Whether the corpus is complete; an error where the folder holds another one, or other music."""
    remedy = "give another folder, or remove this one to have it made anew"
    try:
        there = (folder / "labels.csv").read_text(encoding="utf-8")
    except FileNotFoundError:
        there = ""
    if there and there != labels:
        raise SourceError(
            f"{folder}: labels.csv is not that of the demo corpus of {len(scores)} songs asked for "
            f"(other songs, another seed or an older edition): {remedy}"
        )
    ours = {folder / song_path(score) for score in scores}
    present = {path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")}
    strangers = sorted(present - ours - {folder / "labels.csv"})
    if strangers and not there:
        raise SourceError(f"{folder}: {strangers[0].relative_to(folder)} is not a song of this demo corpus: {remedy}")
    return bool(there) and ours <= present


def _write_songs(folder: Path, seed: int, numbers: list[int], jobs: int, songs: int) -> None:
    context = multiprocessing.get_context("spawn")  # nothing inherited: no threads, no locks, no torch
    bar = tqdm(total=songs, initial=songs - len(numbers), desc="demo corpus", unit="song")
    try:
        with bar, ProcessPoolExecutor(min(jobs, len(numbers) or 1), context, _start_worker) as pool:
            for _ in pool.map(partial(write_song, folder, seed), numbers):
                bar.update()
    except BrokenProcessPool as error:
        raise SourceError(
            f"{folder}: a process making songs was killed (out of memory?): run it again to go on"
        ) from error


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it even when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
