r"""Won's lists of MagnaTagATune: ``split/mtat/{train,valid,test}.npy``, an array of texts ``row\tmp3_path`` each.

The row is that of another file of theirs, not a clip_id, and is not used.
"""

from __future__ import annotations

import io

import numpy as np

from clmr.errors import SourceError
from sharding.datasets.inventory import Inventory
from sharding.format import SPLITS


def read_lists(inventory: Inventory) -> dict[str, str] | None:
    """The split of every listed mp3_path, or None where there are no lists.

    Raises:
        SourceError: a list is missing beside the others, or is not of this form. None of them is unpickled.
    """
    files = {split: f"split/mtat/{split}.npy" for split in SPLITS}
    missing = [file for file in files.values() if file not in inventory.names]
    if len(missing) == len(files):
        return None
    if missing:
        raise SourceError(
            f"{inventory.source.name} holds some of Won's lists, but no {', '.join(missing)}; get it from "
            f"github.com/minzwon/sota-music-tagging-models, or remove split/mtat to have the split computed"
        )
    listed: dict[str, str] = {}
    for split, file in files.items():
        for path in _paths(inventory, file):
            if path in listed:
                raise SourceError(
                    f"{inventory.source.address(file)}: {path} is in {listed[path]} already; get it again"
                )
            listed[path] = split
    return listed


def _paths(inventory: Inventory, file: str) -> list[str]:
    where = inventory.source.address(file)
    try:
        array = np.load(io.BytesIO(inventory.read(file)), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise SourceError(f"{where}: not an array of texts ({error}); get it again") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "US" or array.ndim != 1:
        raise SourceError(f"{where}: expected a one-dimensional array of texts such as '7<TAB>f/song-0-29.mp3'")
    texts = array.astype(str).tolist()
    if any(text.count("\t") != 1 for text in texts):
        raise SourceError(f"{where}: expected texts of the form row, TAB, mp3_path")
    return [text.split("\t")[1] for text in texts]
