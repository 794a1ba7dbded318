"""Shards for the page, written by the standard library's tarfile: every number and every name is the test's own."""

from __future__ import annotations

import hashlib
import io
import tarfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sharding.format import INDEX_SCHEMA, SPLITS, Manifest, ShardInfo
from sharding.members import wav_header

RATE = 22050
Pcm = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Song:
    """One track to write, or with ``reason`` one that was skipped."""

    key: str
    source: str
    pcm: Pcm
    split: str = "train"
    song_id: str = ""
    labels: tuple[str, ...] = ()
    clipped: int = 0
    reason: str | None = None


def tone(seconds: float, *, frequency: float = 440.0, peak: int = 16384, rate: int = RATE) -> Pcm:
    """A tone that swells and fades, int16 ``[seconds * rate]``; its highest sample is ``peak`` or one below."""
    time = np.arange(round(seconds * rate)) / rate
    swell = np.sin(np.pi * time / seconds)
    pcm: Pcm = np.rint(peak * swell * np.sin(2 * np.pi * frequency * time)).astype(np.int16)
    return pcm


def visible(text: str) -> str:
    """The text as it should be read: a sign for every character that would act and not show."""
    bidirectional = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}

    def sign(character: str) -> str:
        if unicodedata.bidirectional(character) in bidirectional:
            return "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(character) != "Cc":
            return character
        code = ord(character)
        if code < 0x20:
            return chr(0x2400 + code)
        return "\N{SYMBOL FOR DELETE}" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"

    return "".join(map(sign, text))


def skipped(number: int, reason: str, source: str | None = None) -> Song:
    """A recording that was left out."""
    return Song(f"{reason}-{number}", source or f"bad/{reason} {number}.mp3", np.zeros(0, np.int16), reason=reason)


def write_shards(
    root: Path, songs: Sequence[Song], *, labels: Sequence[str] = (), rate: int = RATE, dataset: str = "test"
) -> Path:
    """Write one shard per split, the index and the manifest."""
    rows = [_row(song) for song in songs if song.reason]
    splits: dict[str, tuple[ShardInfo, ...]] = {}
    for split in SPLITS:
        content = [song for song in songs if song.split == split and not song.reason]
        path = root / split / "000000.tar"
        path.parent.mkdir(parents=True)
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for song in content:
                rows.append(_row(song) | _place(song, tar.offset, rate))
                member = tarfile.TarInfo(f"{song.key}.wav")
                data = wav_header(len(song.pcm), rate) + song.pcm.astype("<i2").tobytes()
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        frames = sum(len(song.pcm) for song in content)
        info = ShardInfo(f"{split}/{path.name}", path.stat().st_size, len(content), frames, digest)
        splits[split] = (info,) if content else ()
    pq.write_table(pa.Table.from_pylist(rows, schema=INDEX_SCHEMA), root / "index.parquet")
    reasons = [song.reason for song in songs if song.reason]
    manifest = Manifest(
        dataset=dataset,
        sample_rate=rate,
        labels=tuple(labels),
        splits=splits,
        software={"decoder": "libsndfile 1.2.2", "resampler": "soxr 1.1.0 HQ"},
        settings={"seed": 0, "shard_size": 2**29},
        attempted=len(songs),
        written=len(songs) - len(reasons),
        skipped={reason: reasons.count(reason) for reason in dict.fromkeys(reasons)},
        hours=sum(len(song.pcm) for song in songs) / rate / 3600,
    )
    (root / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return root


def _row(song: Song) -> dict[str, object]:
    return {
        "key": song.key,
        "dataset": "test",
        "split": song.split,
        "status": "skipped" if song.reason else "written",
        "reason": song.reason,
        "song_id": song.song_id or song.key,
        "labels": list(song.labels),
        "source": song.source,
    }


def _place(song: Song, offset: int, rate: int) -> dict[str, object]:
    return {
        "shard": f"{song.split}/000000.tar",
        "pcm_offset": offset + tarfile.BLOCKSIZE + 44,
        "frames": len(song.pcm),
        "duration": len(song.pcm) / rate,
        "peak": int(np.abs(song.pcm.astype(np.int32)).max()),
        "clipped": song.clipped,
    }
