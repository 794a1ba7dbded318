"""The data sets the sharder knows, by name. Each is one function from what is asked to its catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clmr.errors import SourceError
from sharding.datasets.billboard import read_billboard
from sharding.datasets.catalog import Catalog, Request
from sharding.datasets.choice import choose
from sharding.datasets.fma import read_fma
from sharding.datasets.folder import read_folder
from sharding.datasets.gtzan import read_gtzan
from sharding.datasets.jsonl import read_jsonl
from sharding.datasets.msd import read_msd
from sharding.datasets.mtat import read_mtat
from sharding.datasets.study import read_study

DataSet = Callable[[Request], Catalog]


def _folder(request: Request) -> Catalog:
    choose(request, "folder")
    return read_folder("folder", request.source, request.seed)


def _demo(request: Request) -> Catalog:
    """The corpus the project synthesises itself, made on the first call; its own seed is fixed."""
    from sharding.datasets.demo import make_corpus

    choose(request, "demo")
    if request.source.root is None:
        raise SourceError(f"{request.source.name}: the demo corpus is made in a local folder; give one as the source")
    make_corpus(request.source.root, jobs=request.jobs)
    return read_folder("demo", request.source, request.seed)


DATASETS: Mapping[str, DataSet] = {
    "folder": _folder,
    "demo": _demo,
    "study": read_study,
    "mtat": read_mtat,
    "msd": read_msd,
    "fma": read_fma,
    "gtzan": read_gtzan,
    "billboard": read_billboard,
    "jsonl": read_jsonl,
}
