"""The kernels of the fused training pass compile for A100 and H100, without one, and fit their registers."""

from __future__ import annotations

import re

import pytest

from clmr.kernels import moments, pooling
from tests.clmr.augment.kernels.compiling import A100, H100, Compiled, Kernel, compile_kernels

INTEGERS = ("first", "rows_per_group", "group", "groups", "frames", "tiles", "turns", "per_piece")
BF16, FLOAT32 = "*bf16", "*fp32"


def kernel(name: str, arguments: str, activation: str, pool: int = 0) -> Kernel:
    """As launched for the widest layers: a full tile of 128 channels."""
    types = dict.fromkeys(INTEGERS, "i32") | dict.fromkeys(("affine", "means"), "*fp32")
    sums = name in {"moments_kernel", "sums_kernel"}
    types |= {"y": activation, "g": activation, "out": "*fp32" if sums else activation}
    module = pooling if pool else moments
    tile = {"channels": 128, "lanes": module.LANES // module.WIDEST, "block": module.WIDEST}
    signature = {argument: types[argument] for argument in arguments.split()}
    return Kernel(module.__name__, name, signature, tile | ({"pool": pool} if pool else {}), module.WARPS)


PLACE = "first rows_per_group groups frames tiles"
KERNELS = [
    kernel("moments_kernel", "y out frames per_piece", BF16),
    kernel("pool_kernel", f"y affine out {PLACE}", BF16, 3),
    kernel("sums_kernel", "y affine g out group groups frames tiles turns per_piece", BF16, 3),
    kernel("spread_kernel", f"y affine means g out {PLACE}", BF16, 3),
    kernel("spread_kernel", f"y affine means g out {PLACE}", FLOAT32, 5),  # the most values at a time
]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[Compiled]:
    return compile_kernels(KERNELS, tmp_path_factory.mktemp("triton"))


def test_every_kernel_for_every_gpu(compiled: list[Compiled]) -> None:
    wanted = [(kernel.name, capability) for kernel in KERNELS for capability in (A100, H100)]
    assert [(result.name, result.capability) for result in compiled] == wanted


def test_no_thread_spills(compiled: list[Compiled]) -> None:
    for result in compiled:
        assert (result.spilled, result.stack) == (0, 0), result.name


def test_a_multiprocessor_holds_four_programs_or_more(compiled: list[Compiled]) -> None:
    """512 threads of 65,536 registers: bound by memory, they wait for it in turn."""
    for result in compiled:
        assert result.registers * 32 * pooling.WARPS * 4 <= 65_536, (result.name, result.registers)


def test_reads_and_writes_wide(compiled: list[Compiled]) -> None:
    """Each thread takes 4 or 8 neighbouring channels at a time."""
    for result in compiled:
        assert re.search(r"ld\.global(\.\w+)*\.v[48]", result.ptx), result.name
