"""Small shards written by the standard library's tarfile, so the loader is tested without the sharder."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from loaders import PairLoader
from loaders.indexed import IndexedPairs
from loaders.reading.files import ShardFiles
from loaders.reading.local import LocalSource
from sharding.format import INDEX_SCHEMA, Manifest, ShardInfo
from sharding.levels import measure_levels
from sharding.members import wav_header

SAMPLE_RATE = 8000
WriteShards = Callable[..., Path]  # the fixture make_shards
CROP = 500  # samples: small, so that a test reads hundreds of crops in no time


@dataclass(frozen=True)
class Recording:
    """One track to be written, or with ``reason`` one that was skipped."""

    key: str
    song: str
    pcm: npt.NDArray[np.int16]
    split: str = "train"
    reason: str | None = None


def recordings(
    number: int,
    *,
    per_song: int = 1,
    shortest: int = CROP,
    longest: int = 4 * CROP,
    split: str = "train",
    seed: int = 0,
) -> list[Recording]:
    """Tracks of noise: no two crops are alike, so bytes tell where they come from."""
    rng = np.random.default_rng([seed, number])
    return [
        Recording(
            key=f"{split}-{track:05d}",
            song=f"{split}-song-{track // per_song}",
            pcm=rng.integers(-32768, 32768, rng.integers(shortest, longest + 1), dtype=np.int16),
            split=split,
        )
        for track in range(number)
    ]


def _member(tar: tarfile.TarFile, name: str, payload: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(payload)
    tar.addfile(info, io.BytesIO(payload))


def write_shards(
    root: Path,
    tracks: Sequence[Recording],
    *,
    tracks_per_shard: int = 7,
    sample_rate: int = SAMPLE_RATE,
    labels: tuple[str, ...] = (),
) -> Path:
    """Write ``tracks`` as shards of format version 1, split after split in the order given; labels go round."""
    rows: list[dict[str, object]] = []
    splits: dict[str, tuple[ShardInfo, ...]] = {}
    for split in dict.fromkeys(track.split for track in tracks):
        infos = []
        written = [track for track in tracks if track.split == split and track.reason is None]
        rows += [_row(track, sample_rate) for track in tracks if track.split == split and track.reason]
        for number, begin in enumerate(range(0, len(written), tracks_per_shard)):
            content = written[begin : begin + tracks_per_shard]
            path = root / split / f"{number:06d}.tar"
            path.parent.mkdir(parents=True, exist_ok=True)
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                for track in content:
                    wav = wav_header(len(track.pcm), sample_rate) + track.pcm.astype("<i2").tobytes()
                    place = {"shard": f"{split}/{path.name}", "pcm_offset": tar.offset + 512 + 44}
                    rows.append(_row(track, sample_rate) | place)
                    _member(tar, f"{track.key}.wav", wav)
                    _member(tar, f"{track.key}.json", json.dumps({"key": track.key, "song_id": track.song}).encode())
            frames = sum(len(track.pcm) for track in content)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            infos.append(ShardInfo(f"{split}/{path.name}", path.stat().st_size, len(content), frames, digest))
        splits[split] = tuple(infos)
    for number, row in enumerate(rows):
        row["labels"] = [labels[number % len(labels)]] if labels else []
    pq.write_table(pa.Table.from_pylist(rows, schema=INDEX_SCHEMA), root / "index.parquet")
    skipped = sum(track.reason is not None for track in tracks)
    manifest = Manifest(
        dataset="test",
        sample_rate=sample_rate,
        labels=labels,
        splits=splits,
        software={},
        settings={},
        attempted=len(tracks),
        written=len(tracks) - skipped,
        skipped={"decode": skipped} if skipped else {},
        hours=0.0,
    )
    (root / "manifest.json").write_text(manifest.to_json())
    return root


def _row(track: Recording, sample_rate: int) -> dict[str, object]:
    common = {"key": track.key, "dataset": "test", "split": track.split, "song_id": track.song, "labels": []}
    if track.reason:
        return {**common, "source": track.key, "status": "skipped", "reason": track.reason}
    frames = len(track.pcm)
    measured = {"frames": frames, "duration": frames / sample_rate, "levels": measure_levels(track.pcm, sample_rate)}
    return {**common, "source": track.key, "status": "written", **measured}


def indexed(loader: PairLoader) -> IndexedPairs:
    """What stands behind a loader that reads by an index."""
    assert isinstance(loader.supply, IndexedPairs)
    return loader.supply


def files_of(loader: PairLoader) -> ShardFiles:
    """The open files of a loader of one data set on a disk."""
    source = indexed(loader).corpora[0].source
    assert isinstance(source, LocalSource)
    assert isinstance(source.files, ShardFiles)
    return source.files
