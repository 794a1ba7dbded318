"""Data set `msd`: the part of the Million Song Dataset that has tags, as 7digital previews of about 30 s.

    <source>/.../<d1>/<d2>/<7digital id>.clip.mp3    d1, d2: the first two digits; .clip.wav where there is no mp3
    <source>/.../*_gt_msd.tsv ...                    the split as tsv files: variant tsv
    <source>/.../filtered_list_train.cP ...          or as pickles: variant pickle

Both forms are described in :mod:`sharding.datasets.msd_splits`; without a variant the one that is there is taken, tsv
first. Splits of 201,680 / 11,774 / 28,435 tracks (Lee et al. 2017, from Choi et al. 2016 less previews under 29.1 s);
labels are 50 tags of last.fm. The previews are not distributed any more: a track without one is recorded as missing.
"""

from __future__ import annotations

import re

from clmr.errors import SourceError
from sharding.datasets.catalog import Catalog, Recording, Request, check_count
from sharding.datasets.choice import choose
from sharding.datasets.inventory import Inventory, take_inventory
from sharding.datasets.msd_splits import FORMS, TEST, TRAIN, VALID, Splits, read_splits
from sharding.faults import Fault

EXPECTED = (
    "previews as <d1>/<d2>/<7digital id>.clip.mp3, such as 8/9/8947470.clip.mp3, and the files of the split; the "
    "previews are not distributed any more: ask a laboratory that has them"
)
PREVIEW = re.compile(r"((?:.*/)?)[0-9]/[0-9]/[0-9]+\.clip(\.mp3|\.wav)")


def read_msd(request: Request) -> Catalog:
    """List the tagged tracks of the Million Song Dataset.

    Raises:
        ConfigError: no such variant.
        SourceError: there are no previews, or a file of the split is missing or damaged.
    """
    choose(request, "msd", variants=tuple(FORMS))
    inventory = take_inventory(request.source, EXPECTED)
    splits = read_splits(inventory, request.variant)
    found = inventory.most_common(PREVIEW)
    if found is None:
        raise SourceError(f"{inventory.source.name} holds no previews; expected {EXPECTED}")
    recordings = tuple(_recording(*row, splits, inventory, *found) for row in splits.rows)
    inventory.refuse_half(recordings, f"expected {EXPECTED}", tolerated=1)
    notes = check_count(f"{inventory.source.name}: the split", len(recordings), TRAIN + VALID + TEST, "tracks")
    return Catalog("msd", splits.labels, recordings, inventory.ignored(splits.files), notes)


def _recording(
    track: str, split: str, labels: tuple[str, ...], splits: Splits, inventory: Inventory, root: str, extension: str
) -> Recording:
    stem = splits.stem(track)
    if stem is None:  # a track that is not at 7digital
        return Recording(track.lower(), track, split, labels, (f"{track}.clip{extension}",), Fault.MISSING)
    name = f"{root}{stem}.clip{extension}"
    return Recording(track.lower(), track, split, labels, (name,), inventory.fault(name))
