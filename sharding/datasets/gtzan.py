"""Data set `gtzan`: 1,000 excerpts of 30 s in ten genres, of which the fault-filtered split takes 930.

    <source>/genres/<genre>/<genre>.000NN.wav                   genres.tar.gz
    <source>/Data/genres_original/<genre>/<genre>.000NN.wav     the Kaggle copy
    <source>/.../<genre>/<genre>.000NN.au                       older copies

The label is the genre. Splits of 443 / 197 / 290 without shared artists, repetitions and damaged files (Kereliuk et al.
2015, on the faults that Sturm found); torchaudio carries the lists. ``jazz.00054`` of the training split cannot be
decoded in the copies of today: it is recorded, and skipped, as known bad.
"""

from __future__ import annotations

import re

from clmr.errors import SourceError
from sharding.datasets.catalog import Catalog, Recording, Request
from sharding.datasets.choice import choose
from sharding.datasets.inventory import take_inventory
from sharding.faults import Fault

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
EXPECTED = (
    "genres/<genre>/<genre>.000NN.wav (or .au) for the ten genres, as genres.tar.gz has them: see marsyas/gtzan on "
    "Hugging Face, or andradaolteanu's copy on Kaggle"
)
ON_DISK = re.compile(rf"((?:.*/)?)(?:{'|'.join(rf'{genre}/{genre}' for genre in GENRES)})\.[0-9]{{5}}(\.wav|\.au)")
ARCHIVE = "genres.tar.gz"
KNOWN_BAD = frozenset({"jazz.00054"})


def read_gtzan(request: Request) -> Catalog:
    """List the fault-filtered GTZAN.

    Raises:
        ConfigError: a variant is asked for; there is none.
        SourceError: the files are not there, or only a part of them.
    """
    choose(request, "gtzan")
    inventory = take_inventory(request.source, EXPECTED)
    found = inventory.most_common(ON_DISK)
    if found is None:
        if inventory.seek(ARCHIVE):
            raise SourceError(f"{inventory.source.name}: {ARCHIVE} is not unpacked; run there: tar xzf {ARCHIVE}")
        raise SourceError(f"{inventory.source.name} holds none of the genres; expected {EXPECTED}")
    root, extension = found

    def recording(name: str, split: str) -> Recording:
        genre, _, number = name.partition(".")
        path = f"{root}{genre}/{name}{extension}"
        fault = Fault.KNOWN_BAD if name in KNOWN_BAD else inventory.fault(path)
        return Recording(f"{genre}-{number}", name, split, (genre,), (path,), fault)

    recordings = tuple(recording(name, split) for split, names in filtered_split().items() for name in names)
    inventory.refuse_half(recordings, f"unpack the archive again; expected {EXPECTED}")
    return Catalog("gtzan", GENRES, recordings, inventory.ignored(0))


def filtered_split() -> dict[str, tuple[str, ...]]:
    """The names of the fault-filtered excerpts, such as ``blues.00029``, by split."""
    from torchaudio.datasets import gtzan

    return {
        "train": tuple(gtzan.filtered_train),
        "valid": tuple(gtzan.filtered_valid),
        "test": tuple(gtzan.filtered_test),
    }
