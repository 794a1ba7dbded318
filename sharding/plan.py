"""Which recording goes into which shard: pure planning, before anything is decoded.

The plan is a function of the catalog, the estimated lengths and the settings; never of jobs, machines or time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import fsum
from typing import Any

from clmr.errors import ConfigError
from sharding.datasets.catalog import Probe, Recording
from sharding.faults import Fault
from sharding.format import FORMAT_VERSION, SAMPLE_BYTES, SPLITS

SHORTEST_TRACK = {22050: 59049, 16000: 43740, 8000: 20736}
"""Samples of one crop of the encoder, by sample rate in Hz: a shorter recording is refused."""
SHARDS_OF_A_CORPUS = 32  # at least, where they are not made too small by it: the shard is the unit of parallel work
SMALLEST_CAP_BYTES = 16 * 2**20
HOPELESS = frozenset({Fault.KNOWN_BAD, Fault.UNLISTED})  # no later build will find more in these files
TRACK_OVERHEAD_BYTES = 2560  # two tar headers, the WAV header, the JSON and the padding of both


@dataclass(frozen=True)
class BuildSettings:
    """What the bytes of the shards depend on, besides the recordings themselves and the decoder's version."""

    dataset: str
    sample_rate: int = 22050
    """Hz: 22050, 16000 or 8000, the rates the encoder is made for."""
    shard_size: int = 512 * 2**20
    """Bytes a shard should not exceed, going by the lengths that the recordings' headers state.

    A corpus below 32 such shards gets smaller ones, see :func:`shard_limit`.
    """
    seed: int = 0
    """Of the order of tracks in the shards, and of the splits where the data set has none."""
    unit: str = "clip"
    """``song``: clips of one song are joined to one track; ``clip``: every file is a track."""
    variant: str = ""
    """Which of the data set's documented versions; empty for its usual one."""

    def __post_init__(self) -> None:
        if self.sample_rate not in SHORTEST_TRACK:
            rates = ", ".join(map(str, SHORTEST_TRACK))
            raise ConfigError(f"sample rate is {self.sample_rate} Hz; the encoder is made for {rates}")
        if self.shard_size < 1:
            raise ConfigError(f"shard size is {self.shard_size} bytes; give a positive one, such as 512MiB")

    @property
    def shortest(self) -> int:
        """Samples below which a recording is refused."""
        return SHORTEST_TRACK[self.sample_rate]

    def as_dict(self) -> dict[str, Any]:
        """The settings as the manifest and the receipts hold them."""
        return {**asdict(self), "shortest": self.shortest, "format_version": FORMAT_VERSION}


@dataclass(frozen=True)
class PlannedShard:
    """One shard to write: a unit of work."""

    split: str
    number: int
    tracks: tuple[Recording, ...]
    probes: tuple[Probe, ...]
    """Of each recording."""
    lengths: tuple[float, ...]
    """Seconds that each recording was taken for when it was dealt to this shard."""

    @property
    def stem(self) -> str:
        """Path below the root without extension, such as ``train/000000``."""
        return f"{self.split}/{self.number:06d}"

    def fingerprint(self) -> str:
        """A hash of all that is known of the shard before decoding: another one means it has to be built again."""
        digest = hashlib.sha256(self.stem.encode())
        for track, probe in self.recordings():
            known = [
                track.key,
                track.song_id,
                track.labels,
                track.source,
                track.fault,
                track.sha1,
                probe.seconds,
                probe.bytes,
            ]
            digest.update(b"\n" + json.dumps(known).encode())
        return digest.hexdigest()

    def recordings(self) -> Iterator[tuple[Recording, Probe]]:
        """Its recordings in their order, each with its probe."""
        return zip(self.tracks, self.probes, strict=True)


def plan_shards(
    recordings: Sequence[Recording],
    probes: Mapping[str, Probe],
    settings: BuildSettings,
    dealt: Mapping[str, float] | None = None,
) -> tuple[PlannedShard, ...]:
    """Deal the recordings to shards, each split for itself.

    Args:
        recordings: in any order.
        probes: size and estimated length of each recording, by key.
        settings: seed, sample rate and shard size.
        dealt: lengths by key that an earlier plan went by. They are used again, so that a recording that was replaced
            or came late changes its own shard and moves no other track.

    Returns:
        The shards, in the order of the index: split after split. Within a split the tracks stand in the order of a
        seeded hash of their keys, so that reading a shard from front to end is reading it shuffled.
    """
    lengths = _lengths(recordings, probes, dealt or {})
    total = sum(estimate_bytes(seconds, settings.sample_rate) for seconds in lengths.values())
    limit = shard_limit(settings.shard_size, total)
    shards: list[PlannedShard] = []
    for split in SPLITS:
        shuffled = sorted(
            (recording for recording in recordings if recording.split == split),
            key=lambda recording: hashlib.sha256(f"{settings.seed}/{recording.key}".encode()).digest(),
        )
        for number, tracks in enumerate(_fill(shuffled, lengths, settings.sample_rate, limit)):
            keys = [track.key for track in tracks]
            shards.append(
                PlannedShard(
                    split,
                    number,
                    tuple(tracks),
                    tuple(probes[key] for key in keys),
                    tuple(lengths[key] for key in keys),
                )
            )
    return tuple(shards)


def _lengths(
    recordings: Sequence[Recording], probes: Mapping[str, Probe], dealt: Mapping[str, float]
) -> dict[str, float]:
    """Seconds to deal each recording by: what an earlier plan took, what its header says, or the mean of all others.

    A file that is not there yet, or cannot be read today, is given the room it will most likely need.
    """
    stated = [probes[recording.key].seconds for recording in recordings if probes[recording.key].seconds > 0]
    mean = fsum(stated) / len(stated) if stated else 0.0  # fsum: the same in any order

    def length(recording: Recording) -> float:
        if recording.fault in HOPELESS:
            return 0.0
        return dealt.get(recording.key, probes[recording.key].seconds or mean)

    return {recording.key: length(recording) for recording in recordings}


def shard_limit(shard_size: int, total: int) -> int:
    """Bytes a shard of a corpus of ``total`` bytes should not exceed.

    A small corpus in a few huge shards would keep few cores busy and lose much to an interruption: a shard takes at
    most a 32nd of the corpus, but this alone makes none smaller than 16 MiB.
    """
    return min(shard_size, max(SMALLEST_CAP_BYTES, total // SHARDS_OF_A_CORPUS))


def _fill(
    tracks: Iterable[Recording], lengths: Mapping[str, float], sample_rate: int, limit: int
) -> Iterator[list[Recording]]:
    """Cut a sequence of tracks where the next one would make a shard too large."""
    filling: list[Recording] = []
    size = 0
    for track in tracks:
        add = estimate_bytes(lengths[track.key], sample_rate)
        if filling and size + add > limit:
            yield filling
            filling, size = [], 0
        filling.append(track)
        size += add
    if filling:
        yield filling


def estimate_bytes(seconds: float, sample_rate: int) -> int:
    """Bytes that a recording of this length takes in a shard."""
    return int(seconds * sample_rate) * SAMPLE_BYTES + TRACK_OVERHEAD_BYTES
