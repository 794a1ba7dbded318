"""Data set `study`: the corpus of generated scores on sampled instruments, made on the first call."""

from __future__ import annotations

from clmr.errors import SourceError
from sharding.datasets.catalog import Catalog, Request
from sharding.datasets.choice import choose
from sharding.datasets.folder import read_folder


def read_study(request: Request) -> Catalog:
    """Make what is missing of the corpus, then list it. Variants are its sizes; its own seed is 0.

    Raises:
        ConfigError: no such size.
        SourceError: the source is no local folder, holds something else, or fluidsynth is missing.
    """
    from sharding.study.corpus import SIZES, make_corpus

    size = choose(request, "study", variants=tuple(SIZES))
    if request.source.root is None:
        raise SourceError(f"{request.source.name}: the study corpus is made in a local folder; give one as the source")
    make_corpus(request.source.root, size=size, jobs=request.jobs)
    return read_folder("study", request.source, request.seed)
