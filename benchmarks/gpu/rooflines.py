"""The most views per second that a GPU can train on, from the bytes and the operations of a step.

A step's time is at least that of its scarcest resource. Bytes and operations are those of SampleCNN at 22,050 Hz and
width 512, of forward and backward convolutions, batch norms, ReLUs and poolings, with no credit for the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch

# Dense tensor-core TF32 of the makers' data sheets.
TF32_PER_SECOND = {"H100 SXM": 494e12, "H200": 494e12, "A100 80 GB": 156e12, "RTX 4090": 82.6e12}

INDEX_BYTES = 22.4e6
"""Of the poolings' int64 indices, for a view: 1.40 million written and read; they do not grow with the precision."""


@dataclass(frozen=True)
class Peaks:
    """What a GPU can do at most."""

    source: str
    """Data sheet or measured."""

    bytes_per_second: float
    bf16_per_second: float
    tf32_per_second: float

    def views_per_second(self, precision: str, way: str) -> float:
        """The roofline: the fewest bytes of the way and the operations of a view, whichever takes longer."""
        from benchmarks.bounds import STEP_FLOPS

        operations = self.bf16_per_second if precision == "bf16" else self.tf32_per_second
        return 1 / max(view_bytes(precision, way) / self.bytes_per_second, STEP_FLOPS / operations)


def view_bytes(precision: str, way: str) -> float:
    """Memory traffic of a view's step; of the ways that fuse the least: all but the convolutions in one pass."""
    from benchmarks.bounds import STEP_BYTES

    if way == "eager":
        values = STEP_BYTES["eager"] - INDEX_BYTES
        return (values if precision == "bf16" else 2 * values) + INDEX_BYTES
    return STEP_BYTES["fused"] * (1 if precision == "bf16" else 2)


def seconds_of(function: Callable[[], object], device: torch.device, repeats: int, together: int = 1) -> list[float]:
    """Seconds of a call, by CUDA events around ``together`` calls at a time; the first calls do not count."""
    for _ in range(3):
        function()
    found = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record(torch.cuda.current_stream(device))
        for _ in range(together):
            function()
        end.record(torch.cuda.current_stream(device))
        end.synchronize()
        found.append(begin.elapsed_time(end) / 1e3 / together)
    return found


def measured_peaks(device: torch.device) -> dict[str, Any]:
    """Of a copy of 1 GiB, bytes read and written, and of products of 8192 by 8192, on random numbers."""
    size = 8192
    free = torch.cuda.mem_get_info(device)[0]
    if free < 4 << 30:
        size = 4096
    source = torch.empty(min(1 << 30, free // 8), dtype=torch.uint8, device=device)
    copied = torch.empty_like(source)
    copy = median(seconds_of(partial(copied.copy_, source), device, 10))
    found: dict[str, Any] = {"copy_bytes_per_second": 2 * source.numel() / copy}
    del source, copied
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        for name, dtype, tf32 in (
            ("bf16", torch.bfloat16, False),
            ("tf32", torch.float32, True),
            ("float32", torch.float32, False),
        ):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
            out = torch.empty_like(a)
            taken = median(seconds_of(partial(torch.mm, a, b, out=out), device, 5, together=2))
            found[f"{name}_per_second"] = 2 * size**3 / taken
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return found


def peaks_of(device: torch.device) -> Peaks:
    """The data sheet's where this GPU has one here, else what is measured now."""
    from benchmarks.bounds import BF16_PER_SECOND
    from benchmarks.gpu.sheets import sheet_of

    sheet = sheet_of(torch.cuda.get_device_name(device))
    if sheet is not None:
        return Peaks(
            f"data sheet of {sheet.name}",
            sheet.bytes_per_second,
            BF16_PER_SECOND[sheet.name],
            TF32_PER_SECOND[sheet.name],
        )
    found = measured_peaks(device)
    return Peaks(
        "measured in this run by a copy and matrix products",
        found["copy_bytes_per_second"],
        found["bf16_per_second"],
        found["tf32_per_second"],
    )
