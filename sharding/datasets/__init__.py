"""The data sets the sharder knows, by name. Each is one function from a source folder to its catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sharding.datasets.catalog import Catalog
from sharding.datasets.folder import read_folder

DataSet = Callable[[Path, int, int], Catalog]
"""(source folder, seed of the split where the data set has none, jobs) -> catalog."""


def _folder(source: Path, seed: int, jobs: int) -> Catalog:
    del jobs
    return read_folder("folder", source, seed)


def _demo(source: Path, seed: int, jobs: int) -> Catalog:
    """The corpus the project synthesises itself, made on the first call; its own seed is fixed."""
    from sharding.datasets.demo import make_corpus

    make_corpus(source, jobs=jobs)
    return read_folder("demo", source, seed)


DATASETS: Mapping[str, DataSet] = {"folder": _folder, "demo": _demo}
