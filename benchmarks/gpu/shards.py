"""A small data set in shards, written in a moment: what loaders and trainers are checked and timed on."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from benchmarks.gpu.signals import music

Pcm = npt.NDArray[np.int16]

TRACKS_PER_SHARD = 64
HEADERS = 512 + 44  # bytes of a tar's and a WAV's header before the samples


def tracks(number: int, frames: int, sample_rate: int) -> Iterator[Pcm]:
    """Music, int16 ``[frames]``: stretches of the same piece from different places on, each of its own loudness."""
    piece = (music(1, min(3 * frames, 40 * sample_rate))[0, 0].numpy() * 32767).astype(np.int16)
    chance = np.random.default_rng(0)
    for _ in range(number):
        track = np.resize(np.roll(piece, int(chance.integers(len(piece)))), frames).astype(np.int32)
        yield ((track * int(chance.integers(8192, 32768))) >> 15).astype(np.int16)


@contextmanager
def made_shards(number: int, frames: int, sample_rate: int) -> Iterator[Path]:
    """A folder of shards of so many tracks, all of one length and each a song of its own; gone afterwards."""
    # Written here and not by the sharder: that one wants the packages that decode recordings.
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sharding.format import INDEX_SCHEMA, Manifest, ShardInfo
    from sharding.levels import measure_levels
    from sharding.members import wav_header

    with TemporaryDirectory(prefix="clmr-gpu-shards-") as name:
        root, rows, infos = Path(name), [], []
        (root / "train").mkdir()
        everything = tracks(number, frames, sample_rate)
        header = wav_header(frames, sample_rate)
        for first in range(0, number, TRACKS_PER_SHARD):
            path = root / "train" / f"{first // TRACKS_PER_SHARD:06d}.tar"
            count = min(TRACKS_PER_SHARD, number - first)
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                for track in range(first, first + count):
                    pcm = next(everything)
                    rows.append(
                        {
                            "key": f"track-{track:06d}",
                            "dataset": "made",
                            "split": "train",
                            "status": "written",
                            "shard": f"train/{path.name}",
                            "pcm_offset": tar.offset + HEADERS,
                            "frames": frames,
                            "song_id": f"song-{track}",
                            "labels": [],
                            "duration": frames / sample_rate,
                            "source": f"track-{track:06d}",
                            "levels": measure_levels(pcm, sample_rate),
                        }
                    )
                    for suffix, content in ((".wav", header + pcm.astype("<i2").tobytes()), (".json", b"{}")):
                        member = tarfile.TarInfo(f"track-{track:06d}{suffix}")
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
            # No loader compares the sum; ``verify`` does.
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            infos.append(ShardInfo(f"train/{path.name}", path.stat().st_size, count, count * frames, digest))
        pq.write_table(pa.Table.from_pylist(rows, schema=INDEX_SCHEMA), root / "index.parquet")
        manifest = Manifest(
            dataset="made",
            sample_rate=sample_rate,
            labels=(),
            splits={"train": tuple(infos)},
            software={},
            settings={},
            attempted=number,
            written=number,
            skipped={},
            hours=number * frames / sample_rate / 3600,
        )
        (root / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
        yield root
