"""The kernels of the pitch shift compile for A100 and H100, without one, and fit their registers."""

from __future__ import annotations

import re

import pytest

from clmr.augment.kernels import resample, tempo
from tests.clmr.augment.kernels.compiling import A100, H100, Compiled, Kernel, compile_kernels

INTEGERS = dict.fromkeys(["frames", "width", "segments", "step", "longest", "length", "most_taps"], "i32")
FLOATS = dict.fromkeys(["audio", "whole", "out", "tables", "numbers"], "*fp32") | {"scale": "*fp64", "slack": "fp32"}
LONGS = dict.fromkeys(["starts", "count", "offsets", "lengths", "tiles", "ratios"], "*i64")
TYPES = INTEGERS | FLOATS | LONGS


def signature(*arguments: str) -> dict[str, str]:
    return {argument: TYPES[argument] for argument in arguments}


WHOLE = signature("audio", "scale", "out", "frames", "width")
SEARCH = signature("whole", "starts", "count", "offsets", "width", "segments", "step", "slack")
STRETCH = signature("audio", "starts", "offsets", "lengths", "out", "frames", "segments", "longest")
RESAMPLE = signature("audio", "out", "tiles", "ratios", "tables", "numbers", "length", "frames", "most_taps")
# At 22,050 Hz.
PIECE = {"front": 176, "block": tempo.BLOCK}
LAGS = {"search": 324, "overlap": 264, "lags": 12, "groups": tempo.GROUPS, "parts": tempo.PARTS}
LOOP = {"unroll": tempo.UNROLL, "front": 176}
STEP = {"step": 1544, "overlap": 264, "block": tempo.BLOCK}
TILE = {"unroll": resample.UNROLL, "lanes": resample.LANES, "periods": resample.PERIODS}
KERNELS = [
    Kernel("clmr.augment.kernels.tempo", "whole_kernel", WHOLE, PIECE),
    Kernel("clmr.augment.kernels.tempo", "search_kernel", SEARCH, LAGS | LOOP, tempo.GROUPS * tempo.PARTS // 32),
    Kernel("clmr.augment.kernels.tempo", "stretch_kernel", STRETCH, STEP),
    Kernel("clmr.augment.kernels.resample", "resample_kernel", RESAMPLE, TILE, resample.LANES // 32),
]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[Compiled]:
    return compile_kernels(KERNELS, tmp_path_factory.mktemp("triton"))


def test_every_kernel_for_every_gpu(compiled: list[Compiled]) -> None:
    wanted = [(kernel.name, capability) for kernel in KERNELS for capability in (A100, H100)]
    assert [(result.name, result.capability) for result in compiled] == wanted


def test_threads_keep_their_sums_in_registers(compiled: list[Compiled]) -> None:
    """The stack of the resampling is that of the sines of large angles, which it does not take."""
    for result in compiled:
        assert result.spilled == 0, result.name
        assert result.stack <= (32 if result.name == "resample_kernel" else 0), result.name


def test_a_multiprocessor_holds_two_programs_or_more(compiled: list[Compiled]) -> None:
    for kernel, result in zip([kernel for kernel in KERNELS for _ in (A100, H100)], compiled, strict=True):
        assert result.registers * 32 * kernel.warps * 2 <= 65_536, result.name


def test_the_search_reads_windows_16_bytes_at_a_time(compiled: list[Compiled]) -> None:
    """Of each turn 4 such loads serve 48 differences, of which each is subtracted and multiplied once."""
    ptx = next(result.ptx for result in compiled if (result.name, result.capability) == ("search_kernel", H100))
    turns = tempo.UNROLL + 1  # and one in float64
    assert len(re.findall(r"ld\.global\.v4", ptx)) == 4 * turns
    assert len(re.findall(r"(?:fma\.rn|mul)\.f32", ptx)) == 48 * tempo.UNROLL + 1  # and the slack


def test_the_resampling_loads_once_per_multiply_add(compiled: list[Compiled]) -> None:
    ptx = next(result.ptx for result in compiled if (result.name, result.capability) == ("resample_kernel", H100))
    products = resample.UNROLL * resample.PERIODS
    # Twice, with and without a look at the ends of the row. On top come tables, numbers and, for large angles, pi.
    assert 2 * products <= len(re.findall(r"ld\.global", ptx)) <= 2 * (products + 4 * resample.UNROLL) + 40
