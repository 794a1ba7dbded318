"""One planned shard to its files: tar, DALI index and, last, the receipt. Memory holds one track at a time."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from clmr.errors import SourceError
from sharding.datasets.catalog import Probe, Recording
from sharding.decode import Decoded, decode_parts, read_source
from sharding.faults import Fault, RecordingError
from sharding.ffmpeg import ffmpeg_version
from sharding.format import SKIPPED, WRITTEN, ShardInfo
from sharding.levels import measure_levels
from sharding.members import END_OF_TAR, Components, IndexRow, frame_track, idx_text
from sharding.plan import BuildSettings, PlannedShard
from sharding.receipt import write_receipt
from sharding.salvage import Salvage, salvage
from sharding.storage import Place, Writer

Begin = Callable[[int], None]
"""Called before every recording with its number in the shard."""
Report = Callable[[int], None]
"""Called after every attempted recording with the samples it gave, 0 where it was skipped."""


@dataclass(frozen=True)
class ShardJob:
    """A unit of work: all that is needed to write one shard, on whatever machine."""

    source: Place
    root: Place
    shard: PlannedShard
    settings: BuildSettings
    receipt: Mapping[str, Any]
    """The settings as the receipt is to hold them, with the decoder's versions."""
    retry: bool = False
    """The shard is complete; try what was left out of it once more."""
    ffmpeg: str | None = None
    """Version on the machine that started the build; None where it has none."""
    crashing: frozenset[str] = frozenset()
    """Keys of recordings that make the decoder crash, and are left out."""


@dataclass(frozen=True)
class ShardResult:
    """What became of a unit of work."""

    stem: str
    attempted: int
    samples: int
    """Of all its written tracks."""


def write_shard(job: ShardJob, report: Report, begin: Begin = lambda _: None) -> ShardResult:
    """Decode a shard's recordings and publish its files.

    A recording that an earlier version of the shard holds, and whose files look the same, is copied from there. In a
    retry the shard stays as it is where every recording that was left out fares as before.

    Raises:
        OSError: the disk is full, permission is denied ...
        StorageError: a bucket cannot be read or written.
    """
    with salvage(job.root, job.shard.stem, job.receipt) as earlier:
        if job.retry and not _fares_better(job, earlier, begin):
            rows = [row for row, _ in earlier.rows.values()]
            for row in rows:
                report(row.frames or 0)
            return ShardResult(job.shard.stem, len(rows), sum(row.frames or 0 for row in rows))
        return _Shard(job, earlier, report, begin).write()


def _fares_better(job: ShardJob, earlier: Salvage, begin: Begin) -> bool:
    """Whether anything that was left out of a complete shard has another outcome now."""
    for number, (recording, probe) in enumerate(job.shard.recordings()):
        row = earlier.row(recording, probe)
        if row is None:
            return True
        if row.status == SKIPPED:
            begin(number)
            decoded, sha256 = _attempt(job, recording, probe)
            if not isinstance(decoded, Fault) or (decoded.value, sha256) != (row.reason, row.source_sha256):
                return True
    return False


class _Shard:
    """The state of one shard being written."""

    def __init__(self, job: ShardJob, earlier: Salvage, report: Report, begin: Begin) -> None:
        self.job = job
        self.earlier = earlier
        self.report = report
        self.begin = begin
        self.name = f"{job.shard.stem}.tar"
        self.rows: list[IndexRow] = []
        self.samples: list[Components] = []

    def write(self) -> ShardResult:
        stem, root = self.job.shard.stem, self.job.root
        with root.create(self.name) as file:
            writer = HashingWriter(file)
            for number, (recording, probe) in enumerate(self.job.shard.recordings()):
                self.begin(number)
                self._write_track(writer, recording, probe)
                self.report(self.rows[-1].frames or 0)
            writer.write(END_OF_TAR)
            # From here on, until there is a new receipt, the shard is incomplete, and the whole with it.
            root.remove("manifest.json")
            root.remove(f"{stem}.parquet")
        frames = sum(row.frames or 0 for row in self.rows)
        info = None
        if self.samples:
            root.write(f"{stem}.idx", idx_text(self.samples).encode("ascii"))
            info = ShardInfo(self.name, writer.position, len(self.samples), frames, writer.sha256.hexdigest())
        else:  # DALI refuses a shard without samples
            root.remove(self.name)
            root.remove(f"{stem}.idx")
        write_receipt(root, self.job.shard, self.job.receipt, info, self.rows)
        return ShardResult(stem, len(self.rows), frames)

    def _write_track(self, writer: HashingWriter, recording: Recording, probe: Probe) -> None:
        """Attempt one recording: its row of the index and, where it was not skipped, its members in the tar."""
        row, samples = self._attempt(recording, probe)
        if samples is None:
            self.rows.append(row)
            return
        row = replace(row, shard=self.name)
        frame = frame_track(row, self.job.settings.sample_rate, writer.position)
        self.rows.append(replace(row, pcm_offset=writer.position + len(frame.before)))
        self.samples.append(frame.components)
        for part in (frame.before, samples.astype("<i2", copy=False).data.cast("B"), frame.after):
            writer.write(part)

    def _attempt(self, recording: Recording, probe: Probe) -> tuple[IndexRow, npt.NDArray[np.int16] | None]:
        """A recording's row, without its place in the shard, and its samples, None where it is skipped."""
        known = IndexRow(
            key=recording.key,
            dataset=self.job.settings.dataset,
            split=recording.split,
            status=SKIPPED,
            song_id=recording.song_id,
            labels=recording.labels,
            source=recording.source,
        )
        before = self.earlier.row(recording, probe)
        if before is not None and before.status == WRITTEN and recording.fault is None:
            samples = self.earlier.samples(before)
            if samples is not None:
                return replace(before, split=known.split, song_id=known.song_id, labels=known.labels), samples
        decoded, sha256 = _attempt(self.job, recording, probe)
        if isinstance(decoded, Fault):
            return replace(known, reason=decoded.value, source_sha256=sha256), None
        row = replace(
            known,
            status=WRITTEN,
            frames=len(decoded.pcm),
            duration=len(decoded.pcm) / self.job.settings.sample_rate,
            source_sha256=sha256,
            decoder=decoded.decoder or None,
            pcm_xxh3=xxhash.xxh3_64_hexdigest(decoded.pcm.astype("<i2", copy=False).data.cast("B")),
            peak=decoded.peak,
            clipped=decoded.clipped,
            levels=measure_levels(decoded.pcm, self.job.settings.sample_rate),
        )
        return row, decoded.pcm


def _attempt(job: ShardJob, recording: Recording, probe: Probe) -> tuple[Decoded | Fault, str | None]:
    """As :func:`attempt`, where the machine can be trusted to see and decode what the one that planned can.

    Raises:
        SourceError: it cannot.
    """
    if recording.key in job.crashing:
        return Fault.CRASHING, None
    decoded, sha256 = attempt(job.source, recording, job.settings)
    if decoded is Fault.MISSING and probe.bytes:
        raise SourceError(
            f"{job.source.address(recording.source)} was there when the build began, and is gone for "
            f"{socket.gethostname()}; run the same command again to count it as missing, or, with several machines, "
            f"mount the source on all of them under the same path"
        )
    needs_ffmpeg = decoded is Fault.UNSUPPORTED or (isinstance(decoded, Decoded) and decoded.decoder)
    if needs_ffmpeg and ffmpeg_version() != job.ffmpeg:
        raise SourceError(
            f"{job.source.address(recording.source)} needs ffmpeg: {socket.gethostname()} has "
            f"{ffmpeg_version() or 'none'}, the machine that started the build {job.ffmpeg or 'none'}; "
            f"install the same version on all machines"
        )
    return decoded, sha256


class HashingWriter:
    """A file to write from front to end that knows its position and its SHA-256."""

    def __init__(self, file: Writer) -> None:
        self.file = file
        self.position = 0
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        self.file.write(data)
        self.sha256.update(data)
        self.position += len(data)


def attempt(source: Place, recording: Recording, settings: BuildSettings) -> tuple[Decoded | Fault, str | None]:
    """The decoded recording or what is wrong with it, and the SHA-256 of its files where they could be read."""
    if recording.fault:
        return recording.fault, None
    sha256 = hashlib.sha256()
    unread = len(recording.parts)

    def parts() -> Iterator[bytes]:
        nonlocal unread
        for part in recording.parts:
            data = read_source(source, part)
            sha256.update(data)
            unread -= 1
            if recording.sha1 and hashlib.sha1(data, usedforsecurity=False).hexdigest() != recording.sha1:
                raise RecordingError(Fault.CHECKSUM)
            yield data

    try:
        return decode_parts(parts(), settings.sample_rate, settings.shortest), sha256.hexdigest()
    except RecordingError as error:
        return error.fault, None if unread else sha256.hexdigest()
