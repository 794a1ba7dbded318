"""``manifest.json``: what a folder of shards holds as a whole; written last, so without it a build is unfinished."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from clmr.errors import ShardError
from sharding.storage import Place, place_at

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ShardInfo:
    """One complete shard, as the manifest and its receipt name it."""

    name: str
    """Path below the root, such as ``train/000000.tar``."""
    bytes: int
    """Size of the tar."""
    tracks: int
    frames: int
    """Samples of all its tracks."""
    sha256: str
    """Of the tar, 64 hex digits."""


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says of the whole."""

    dataset: str
    sample_rate: int
    """Hz."""
    labels: tuple[str, ...]
    """The label vocabulary, in the order of a label vector's columns."""
    splits: Mapping[str, tuple[ShardInfo, ...]]
    software: Mapping[str, str]
    """Decoder, resampler and their versions."""
    settings: Mapping[str, Any]
    """What the build was asked for: seed, shard size, shortest track ..."""
    attempted: int
    written: int
    skipped: Mapping[str, int]
    """Tracks left out, by reason: attempted = written + sum of these."""
    hours: float
    sha256: Mapping[str, str] = field(default_factory=dict)
    """Of index.parquet and of every receipt, by name."""
    format_version: int = FORMAT_VERSION
    dtype: str = "<i2"
    channels: int = 1

    @property
    def shards(self) -> tuple[ShardInfo, ...]:
        """All shards, split after split."""
        return tuple(shard for infos in self.splits.values() for shard in infos)

    def to_json(self) -> str:
        """The text of ``manifest.json``: the same manifest gives the same bytes."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str | bytes, source: str) -> Manifest:
        """Parse and check the text of a manifest; ``source`` names it in errors."""
        try:
            fields = json.loads(text)
            version = fields["format_version"]
            if version != FORMAT_VERSION:
                raise ShardError(f"{source} is of format version {version}, not {FORMAT_VERSION}: rebuild it")
            splits = {
                split: tuple(ShardInfo(**info) for info in infos) for split, infos in fields.pop("splits").items()
            }
            manifest = Manifest(**{**fields, "labels": tuple(fields["labels"]), "splits": splits})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ShardError(f"{source} is damaged ({error}); run `python -m sharding build` again") from error
        if (manifest.dtype, manifest.channels) != ("<i2", 1):
            raise ShardError(f"{source}: PCM is {manifest.dtype} x {manifest.channels}; only mono <i2 is readable")
        return manifest


def read_manifest(shards: str | os.PathLike[str] | Place) -> Manifest:
    """Read ``manifest.json`` of a shard folder, by path or URL."""
    place = place_at(shards)
    path = place.address("manifest.json")
    try:
        data = place.read("manifest.json")
    except FileNotFoundError as error:
        raise ShardError(
            f"{path} is missing: no shards, or an unfinished build; build them with `python -m sharding build`"
        ) from error
    return Manifest.from_json(data, path)
