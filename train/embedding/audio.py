"""Audio files through an encoder into a feature folder, on any number of ranks."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from tqdm import tqdm

from clmr.augment import from_int16
from clmr.errors import FeatureError, SourceError
from loaders.reading.threads import default_threads
from sharding.faults import Fault
from train.embedding.decoding import DecodedFiles, Outcome
from train.embedding.files import AudioFiles
from train.embedding.progress import Progress, forget, read_journal, rows_path
from train.embedding.windows import Grid, Pcm
from train.features import write_dump
from train.ranks.launch import Place, barrier, from_first

SHOWN = 5
"""Names of files that a message holds for each reason."""


@dataclass(frozen=True)
class Embedded:
    """What came of the files: ``attempted`` is ``tracks`` and all those in ``skipped``."""

    attempted: int
    tracks: int
    windows: int
    skipped: dict[str, list[str]]
    """By reason (:class:`sharding.faults.Fault`), the names."""
    window_seconds: float
    """The shortest file that could be used."""

    def left_out(self) -> str:
        """The skipped files in one line; empty where there are none."""
        meaning = {
            Fault.TOO_SHORT: f" (less than a window of {self.window_seconds:.3f} s)",
            Fault.UNSUPPORTED: " (needs ffmpeg, which is not installed)",
        }
        return "; ".join(
            f"{len(names)} {reason}{meaning.get(Fault(reason), '')}: {', '.join(names[:SHOWN])}"
            f"{' ...' if len(names) > SHOWN else ''}"
            for reason, names in self.skipped.items()
        )


class Batches:
    """Windows in, features out to :class:`train.embedding.progress.Progress`, in batches that span files."""

    def __init__(self, encoder: nn.Module, grid: Grid, batch_size: int, progress: Progress, place: Place) -> None:
        self._encoder, self._progress, self._place = encoder, progress, place
        self._pcm = torch.empty((batch_size, grid.window), dtype=torch.int16, pin_memory=place.device.type == "cuda")
        self._filled = 0
        self._begin = progress.rows  # first row of the file under way
        self._ended: deque[tuple[int, Outcome]] = deque()

    def add(self, windows: Pcm) -> None:
        """The next windows ``[n, window]`` of the file under way."""
        rows = torch.from_numpy(windows)
        while len(rows):
            taken = rows[: len(self._pcm) - self._filled]
            self._pcm[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            rows = rows[len(taken) :]
            if self._filled == len(self._pcm):
                self.flush()

    def end(self, outcome: Outcome) -> None:
        """The file is over; where it is left out, so are the rows that it has already."""
        if outcome.fault is not None:
            self._filled = max(0, self._filled - (self._progress.rows + self._filled - self._begin))
            if self._progress.rows > self._begin:
                self._progress.cut(self._begin)
        self._begin = self._progress.rows + self._filled
        self._ended.append((self._begin, outcome))
        self._settle()

    def flush(self) -> None:
        """Encode what is there."""
        if self._filled:
            audio = from_int16(self._pcm[: self._filled].to(self._place.device))
            self._filled = 0
            self._progress.write(self._encoder(audio).float().cpu().numpy())
        self._settle()

    def _settle(self) -> None:
        while self._ended and self._ended[0][0] <= self._progress.rows:
            self._progress.settle(self._ended.popleft()[1])


@torch.inference_mode()
def embed_audio(
    encoder: nn.Module,
    width: int,
    files: AudioFiles,
    grid: Grid,
    out: Path,
    origin: dict[str, Any],
    place: Place,
    *,
    batch_size: int,
    form: str = "npy",
) -> Embedded:
    """Encode the windows of all files into the feature folder ``out``, which all ranks see; each takes its share.

    A file that cannot be used is left out, as the sharder leaves it out, and named in features.json. After a kill the
    same call goes on behind the last file that was done.

    Args:
        encoder: float ``[N, 1, window]`` -> ``[N, width]``.
        width: features per window.
        files: what to embed; every rank lists the same.
        grid: where windows lie.
        out: the folder; it counts as incomplete from here on.
        origin: goes into features.json.
        place: this process.
        batch_size: windows encoded at once.
        form: ``npy`` or ``parquet``.

    Raises:
        SourceError: no file could be used, or ffmpeg was stopped.
        FeatureError: the disk is too small.
    """
    encoder = encoder.to(place.device).eval()
    described = {"run": _fingerprint(encoder, files, grid, place.world_size), "width": width}
    if place.first:
        out.mkdir(parents=True, exist_ok=True)
        (out / "features.json").unlink(missing_ok=True)
    barrier()
    share = files.share(place.rank, place.world_size)
    with Progress(out, place.rank, width, described) as progress:
        if place.first and progress.done:
            print(f"{out}: going on behind the first {len(progress.done)} files, which are done", file=sys.stderr)
        names, sizes = files.part(share[len(progress.done) :])
        batches = Batches(encoder, grid, batch_size, progress, place)
        bar = tqdm(
            total=len(share),
            initial=len(progress.done),
            unit="file",
            desc="embed",
            disable=not place.first,
            mininterval=0.5,
        )
        with bar, DecodedFiles(files.source, names, sizes, grid, default_threads()) as decoded:
            for item in decoded:
                if isinstance(item, Outcome):
                    batches.end(item)
                    bar.update()
                else:
                    batches.add(item)
                    bar.set_postfix(windows=progress.rows, refresh=False)
            batches.flush()
    barrier()
    return from_first(lambda: _finish(out, files, grid, width, described, origin, place.world_size, form))


def _finish(
    out: Path,
    files: AudioFiles,
    grid: Grid,
    width: int,
    described: dict[str, Any],
    origin: dict[str, Any],
    world_size: int,
    form: str,
) -> Embedded:
    """Join what the ranks have left."""
    outcomes = [outcome for rank in range(world_size) for outcome in read_journal(out, rank, described)]
    named = list(zip(files.readable, outcomes, strict=True))
    skipped: dict[str, list[str]] = {}
    for name, outcome in named:
        if outcome.fault is not None:
            skipped.setdefault(outcome.fault, []).append(name)
    done = [(name, outcome) for name, outcome in named if outcome.fault is None]
    windows = np.array([outcome.windows for _, outcome in done], dtype=np.int64)
    embedded = Embedded(len(named), len(done), int(windows.sum()), skipped, grid.window / grid.sample_rate)
    if not done:
        forget(out)
        raise SourceError(f"--audio {origin['audio']}: no file could be used: {embedded.left_out()}")
    needed, free = embedded.windows * width * 4, shutil.disk_usage(out).free
    if needed > free:
        raise FeatureError(f"{out}: {needed:,} bytes are needed to join the features, {free:,} are free")
    keys = [name for name, _ in done]
    tracks = pa.table(
        {
            "key": pa.array(keys, pa.string()),
            "split": pa.array(["audio"] * len(done), pa.string()),
            "song_id": pa.array(keys, pa.string()),
            "labels": pa.array([[]] * len(done), pa.list_(pa.string())),
            "seconds": pa.array([outcome.frames / grid.sample_rate for _, outcome in done], pa.float64()),
        }
    )
    parts = [rows_path(out, rank) for rank in range(world_size)]
    described_files = {**origin, "attempted": len(named), "skipped": skipped}
    write_dump(out, parts, tracks, windows, grid, width, described_files, form=form, column="path")
    forget(out)
    return embedded


def _fingerprint(encoder: nn.Module, files: AudioFiles, grid: Grid, world_size: int) -> str:
    """Of all that has a part in a rank's rows."""
    digest = hashlib.sha256(repr((files.source.name, files.names, files.states, grid, world_size)).encode())
    for name, value in encoder.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
