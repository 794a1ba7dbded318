"""The kernels of filter and reverb compile for A100 and H100, without one, and fit their registers."""

from __future__ import annotations

import pytest

from clmr.augment.kernels import freeverb, onepole
from tests.clmr.augment.kernels.compiling import A100, H100, Compiled, Kernel, compile_kernels

FREEVERB = {
    **dict.fromkeys(["spectrum", "out", "allpass"], "*fp32"),
    "delays": "*i32",
    "numbers": "*fp32",
    **dict.fromkeys(["bins", "n_fft", "inverse", "shift"], "i32"),
    "turn": "fp32",
}
ONEPOLE = {"audio": "*fp32", "out": "*fp32", "numbers": "*fp64", "warm_up": "*i32", "frames": "i32", "stride": "i32"}
SCAN = {"block": onepole.BLOCK, "blocks": onepole.BLOCKS}
BINS = {"block": freeverb.PAIRS, "combs": freeverb.COMBS}
KERNELS = [
    Kernel("clmr.augment.kernels.freeverb", "freeverb_kernel", FREEVERB, BINS | {"wide": 0}, freeverb.WARPS),
    Kernel("clmr.augment.kernels.freeverb", "freeverb_kernel", FREEVERB, BINS | {"wide": 1}, freeverb.WARPS),
    Kernel("clmr.augment.kernels.onepole", "first_order_kernel", ONEPOLE, SCAN, onepole.WARPS),
]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[Compiled]:
    return compile_kernels(KERNELS, tmp_path_factory.mktemp("triton"))


def test_every_kernel_for_every_gpu(compiled: list[Compiled]) -> None:
    wanted = [(kernel.name, capability) for kernel in KERNELS for capability in (A100, H100)]
    assert [(result.name, result.capability) for result in compiled] == wanted
    for result in compiled:
        assert f".target sm_{result.capability}" in result.ptx


def test_no_thread_spills(compiled: list[Compiled]) -> None:
    for result in compiled:
        assert (result.spilled, result.stack) == (0, 0), result.name


def test_a_multiprocessor_holds_four_programs_or_more(compiled: list[Compiled]) -> None:
    """Of 65,536 registers and 100 KiB of shared memory; loads of one program hide behind the arithmetic of others."""
    for kernel, result in zip([kernel for kernel in KERNELS for _ in (A100, H100)], compiled, strict=True):
        if kernel.constants.get("wide"):
            continue  # longer than any row of a chain: seldom used
        assert result.registers * 32 * kernel.warps * 4 <= 65_536, result.name
        assert result.shared * 4 <= 100 * 1024, result.name


def test_scans_in_float64_and_divides_once_for_two_bins(compiled: list[Compiled]) -> None:
    by_name = {result.name: result.ptx for result in compiled if result.capability == H100}
    assert "fma.rn.f64" in by_name["first_order_kernel"]
    narrow = next(result.ptx for result in compiled if result.name == "freeverb_kernel")
    assert narrow.count("div.full.f32") == freeverb.COMBS + 2  # and one per loop
