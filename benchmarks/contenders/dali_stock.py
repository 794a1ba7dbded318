"""NVIDIA DALI's own reader of tar shards: whole members, cut afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.corpus import WAV_HEADER

SHUFFLE_BUFFER = 1024  # samples, DALI's default


class Output:
    """A batch as DALI hands it out: two lists of crops."""

    def __init__(self, crops: Sequence[Any]) -> None:
        self._crops = crops

    def __len__(self) -> int:
        return len(self._crops[0])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[np.int16]:
        pairs = zip(*([np.asarray(crop) for crop in crops] for crops in self._crops), strict=True)
        return np.array([np.stack(pair) for pair in pairs])


def whole_members(
    shards: Sequence[str],
    indexes: Sequence[str],
    pairs: int,
    crop_frames: int,
    threads: int,
    shuffle_buffer: int = SHUFFLE_BUFFER,
) -> Iterator[Output]:
    """Whole members, then slices.

    fn.readers.webdataset with index files (mmap for files), random_shuffle; two fn.slice of the member's bytes,
    reinterpreted as int16, so that nothing but the crops is copied; missing_component_behavior="error",
    DALI_MALLOC_POOL_THRESHOLD=1M.
    """
    dali: Any = import_module("nvidia.dali")
    fn, types = dali.fn, dali.types

    def pipeline() -> Any:
        wav = fn.readers.webdataset(
            paths=list(shards),
            index_paths=list(indexes),
            ext=["wav"],
            missing_component_behavior="error",
            random_shuffle=True,
            initial_fill=shuffle_buffer,
            name="reader",
        )
        frames = (wav.shape(dtype=types.INT32)[0] - WAV_HEADER) // 2
        room = fn.cast(frames - (crop_frames - 1), dtype=types.FLOAT)
        crops = []
        for _ in range(2):
            start = fn.cast(dali.math.floor(fn.random.uniform(range=[0.0, 1.0]) * room), dtype=types.INT32)
            piece = fn.slice(wav, WAV_HEADER + 2 * start, [2 * crop_frames], axes=[0])
            crops.append(fn.reinterpret(piece, dtype=types.INT16))
        return tuple(crops)

    define = dali.pipeline_def(batch_size=pairs, num_threads=threads, device_id=None, prefetch_queue_depth=2)
    made = define(pipeline)()
    made.build()
    while True:
        yield Output(made.run())
