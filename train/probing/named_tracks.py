"""Names and lengths of the tracks in a feature dump, in the order of :class:`train.features.Features`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from clmr.errors import FeatureError


@dataclass(frozen=True, eq=False)
class NamedTracks:
    """Columns of ``tracks.parquet``, each ``[tracks]``."""

    key: npt.NDArray[np.str_]
    song_id: npt.NDArray[np.str_]
    frames: npt.NDArray[np.int64] | None
    """Samples; None where the dump does not say."""


def read_named_tracks(folder: Path) -> NamedTracks:
    """Read them from a dump that :func:`train.features.open_features` has opened.

    Raises:
        FeatureError: the dump does not name its tracks or their songs.
    """
    table = pq.read_table(folder / "tracks.parquet")
    for name in ("key", "song_id"):
        if name not in table.column_names:
            raise FeatureError(f"{folder}/tracks.parquet has no column {name}; run train/embed.py again")
    return NamedTracks(
        key=np.array(table["key"].to_pylist(), dtype=np.str_),
        song_id=np.array(table["song_id"].to_pylist(), dtype=np.str_),
        frames=table["frames"].to_numpy() if "frames" in table.column_names else None,
    )
