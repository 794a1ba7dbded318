"""Who takes part where the clips are in the page cache."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.turns import Contender

OURS, COPY = "PairLoader", "memory copy"
HERE = "benchmarks.contenders"
PEERS = {"litdata": f"{HERE}.litdata_library:convert", "streaming": f"{HERE}.mosaic_library:convert"}
"""Modules of other people that need a conversion, and what does it."""
DALI_ENVIRONMENT = {"DALI_MALLOC_POOL_THRESHOLD": "1M"}
"""DALI's batches here are smaller than what it keeps by default; without this every batch is new memory."""


@dataclass(frozen=True)
class Corpus:
    """The same audio for everybody."""

    folder: Path
    files: tuple[Path, ...]
    """WAV files."""
    shards: tuple[Path, ...]
    """Tar files, of ``folder / "shards"``."""

    def converted(self, module: str) -> Path:
        """Where a peer has it in its own format."""
        return self.folder / module


def interpreter(module: str, peers_python: str) -> str:
    """This interpreter where it has the module, else the peers' one."""
    return peers_python if find_spec(module) is None else sys.executable


def converters(corpus: Corpus, peers_python: str) -> dict[str, Contender]:
    """What has to run before some peers can be measured, by module."""
    files = [str(path) for path in corpus.files]
    return {
        module: Contender(
            f"{module}, conversion",
            target,
            {"files": files, "folder": str(corpus.converted(module))},
            interpreter(module, peers_python),
        )
        for module, target in PEERS.items()
    }


def local_contenders(
    corpus: Corpus, common: Mapping[str, Any], threads: int, workers: int, peers_python: str
) -> Iterator[tuple[Contender, str]]:
    """Everybody, each with the module whose conversion it needs.

    Args:
        corpus: what to read.
        common: pairs of a batch and samples of a crop.
        threads: of PairLoader, the copying and DALI.
        workers: processes of the peers that have them; all are measured without as well.
        peers_python: interpreter with the peers' packages.
    """
    shards, pairs = str(corpus.folder / "shards"), common["pairs"]
    tars = [str(path) for path in corpus.shards]
    indexes = [str(path.with_suffix(".idx")) for path in corpus.shards]
    files = [str(path) for path in corpus.files]
    for backend in ("torch", "dali", "resident"):
        name = OURS if backend == "torch" else f"{OURS}, {backend}"
        options = {"shards": shards, "pairs": pairs, "threads": threads, "backend": backend}
        yield Contender(name, f"{HERE}.ours:pairloader", options, environment=DALI_ENVIRONMENT), ""
    yield Contender(COPY, f"{HERE}.ours:memory_copy", {"shards": shards, "threads": threads, **common}), ""
    yield (
        Contender(
            "DALI readers.webdataset",
            f"{HERE}.dali_stock:whole_members",
            {"shards": tars, "indexes": indexes, "threads": threads, **common},
            environment=DALI_ENVIRONMENT,
        ),
        "",
    )
    with_workers = (
        ("webdataset", "webdataset_library:streamed", {"shards": tars}, ""),
        ("LitData items", "litdata_library:items", {"folder": str(corpus.converted("litdata"))}, "litdata"),
        ("LitData windows", "litdata_library:windows", {"folder": str(corpus.converted("litdata"))}, "litdata"),
        ("MosaicML Streaming", "mosaic_library:streamed", {"folder": str(corpus.converted("streaming"))}, "streaming"),
        ("DataLoader + soundfile", "torch_dataloader:soundfile_crops", {"files": files}, ""),
        ("official chain", "torch_dataloader:official", {"files": files}, ""),
    )
    for name, target, options, module in with_workers:
        for number in (0, workers):
            python = interpreter(module, peers_python) if module else sys.executable
            settings = {**options, **common, "workers": number}
            yield Contender(f"{name}, {number} workers", f"{HERE}.{target}", settings, python), module
