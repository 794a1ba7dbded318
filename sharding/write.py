"""One planned shard to its files: tar, DALI index and, last, the receipt. Memory holds one track at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from sharding.datasets.catalog import Recording
from sharding.decode import Decoded, decode, read_source
from sharding.faults import Fault, RecordingError
from sharding.format import SKIPPED, WRITTEN, ShardInfo, idx_text
from sharding.members import END_OF_TAR, Components, IndexRow, frame_track
from sharding.plan import BuildSettings, PlannedShard
from sharding.publish import publish
from sharding.receipt import write_receipt

Report = Callable[[int], None]
"""Called after every attempted recording with the samples it gave, 0 where it was skipped."""


def write_shard(
    root: Path, shard: PlannedShard, settings: BuildSettings, receipt: Mapping[str, Any], report: Report
) -> None:
    """Decode a shard's recordings and publish its files.

    Args:
        root: folder of the shards.
        shard: what to write.
        settings: of the build.
        receipt: the settings as the receipt is to hold them.
        report: hears of every recording.
    """
    tar, idx, done = (root / f"{shard.stem}{suffix}" for suffix in (".tar", ".idx", ".parquet"))
    done.unlink(missing_ok=True)  # from here on the shard is incomplete
    rows: list[IndexRow] = []
    samples: list[Components] = []
    with publish(tar) as temporary, temporary.open("wb") as file:
        writer = HashingWriter(file)
        for recording in shard.tracks:
            row, components = _write_track(writer, recording, f"{shard.stem}.tar", settings)
            rows.append(row)
            if components:
                samples.append(components)
            report(row.frames or 0)
        writer.write(END_OF_TAR)
    if samples:
        with publish(idx) as temporary:
            temporary.write_text(idx_text(samples), encoding="ascii")
        frames = sum(row.frames or 0 for row in rows)
        info = ShardInfo(f"{shard.stem}.tar", writer.position, len(samples), frames, writer.sha256.hexdigest())
        write_receipt(done, info, receipt, shard.fingerprint(), rows)
    else:  # DALI refuses a shard without samples
        tar.unlink()
        idx.unlink(missing_ok=True)
        write_receipt(done, None, receipt, shard.fingerprint(), rows)


class HashingWriter:
    """A file to write from front to end that knows its position and its SHA-256."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.position = 0
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        self.file.write(data)
        self.sha256.update(data)
        self.position += len(data)


def _write_track(
    writer: HashingWriter, recording: Recording, shard: str, settings: BuildSettings
) -> tuple[IndexRow, Components]:
    """Attempt one recording: its row of the index, and its members in the tar, none where it was skipped."""
    decoded, source_sha256 = _attempt(recording, settings)
    row = IndexRow(
        key=recording.key,
        dataset=settings.dataset,
        split=recording.split,
        status=SKIPPED,
        song_id=recording.song_id,
        labels=recording.labels,
        source=recording.source,
        source_sha256=source_sha256,
    )
    if isinstance(decoded, Fault):
        return replace(row, reason=decoded.value), ()
    pcm = decoded.pcm.astype("<i2", copy=False).data.cast("B")
    row = replace(
        row,
        status=WRITTEN,
        shard=shard,
        frames=len(decoded.pcm),
        duration=len(decoded.pcm) / settings.sample_rate,
        pcm_xxh3=xxhash.xxh3_64_hexdigest(pcm),
        peak=decoded.peak,
        clipped=decoded.clipped,
    )
    frame = frame_track(row, settings.sample_rate, writer.position)
    row = replace(row, pcm_offset=writer.position + len(frame.before))
    for part in (frame.before, pcm, frame.after):
        writer.write(part)
    return row, frame.components


def _attempt(recording: Recording, settings: BuildSettings) -> tuple[Decoded | Fault, str | None]:
    """The decoded recording or what is wrong with it, and the SHA-256 of its file where it could be read."""
    if recording.fault:
        return recording.fault, None
    source_sha256 = None
    try:
        data = read_source(recording.path)
        source_sha256 = hashlib.sha256(data).hexdigest()
        return decode(data, settings.sample_rate, settings.shortest), source_sha256
    except RecordingError as error:
        return error.fault, source_sha256
