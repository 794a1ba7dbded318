"""The loss of large batches: in blocks of rows it is the same loss, in memory that does not grow with N^2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from clmr import loss as module
from clmr.errors import ConfigError
from clmr.loss import ContrastiveOutput, contrastive_output, nt_xent_loss
from tests.tolerances import FLOAT32_LOSS, FLOAT64

PAIRS = 4200  # beyond what is kept whole


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that operators made and that are still there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(outputs):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                reference = StorageWeakRef(storage)
                self.alive[reference.cdata] = (reference, storage.nbytes())
        self.alive = {key: value for key, value in self.alive.items() if not value[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        return outputs


@contextmanager
def blocks(similarities: int) -> Iterator[None]:
    """Computes every loss in blocks of so many similarities."""
    with patch.object(module, "WHOLE", 0), patch.object(module, "BLOCK", similarities):
        yield


def projections(pairs: int, size: int = 6, dtype: torch.dtype = torch.float64) -> Tensor:
    """A leaf ``[2, pairs, size]`` whose second views resemble the first, with rows of uneven lengths."""
    generator = torch.Generator().manual_seed(pairs)
    z = torch.randn(2, pairs, size, generator=generator, dtype=torch.float64)
    z[1] += z[0]
    return (z * torch.logspace(-2, 2, 2 * pairs).view(2, pairs, 1)).to(dtype).requires_grad_()


def outcome(z: Tensor, temperature: float, factor: float = 1) -> tuple[ContrastiveOutput, Tensor]:
    """Loss and accuracy, and the gradient of ``factor`` times the loss."""
    output = contrastive_output(z[0], z[1], temperature)
    return output, torch.autograd.grad(factor * output.loss, z)[0]


@pytest.mark.parametrize("temperature", [0.01, 0.5])
@pytest.mark.parametrize(
    ("pairs", "similarities"), [(2, 1), (2, 2**20), (7, 3 * 14), (150, 7 * 300), (150, 300 * 300)], ids=str
)
def test_blocks_equal_the_whole(pairs: int, similarities: int, temperature: float) -> None:
    """Blocks of one row, of rows that do not divide the anchors, and of all rows."""
    z = projections(pairs)
    expected, expected_gradient = outcome(z, temperature, factor=3)
    with blocks(similarities):
        found, gradient = outcome(z, temperature, factor=3)
    assert found.loss.dtype == torch.float64
    torch.testing.assert_close(found.loss, expected.loss, rtol=FLOAT64, atol=FLOAT64)
    assert found.accuracy == expected.accuracy
    # Row by row: the short ones have gradients ten thousand times those of the long ones.
    scale = expected_gradient.abs().amax(dim=2, keepdim=True)
    assert ((gradient - expected_gradient).abs() <= FLOAT64 * scale + 1e-12).all()


def test_what_is_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual sizes, and the last one allowed, take no block."""
    calls = []

    def noted(anchors: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
        calls.append(len(anchors))
        return in_blocks(anchors, *others)

    in_blocks = module._blocks_of_rows
    monkeypatch.setattr(module, "_blocks_of_rows", noted)
    for pairs in (2, 96, 456):
        nt_xent_loss(*projections(pairs))
    monkeypatch.setattr(module, "WHOLE", 100)
    nt_xent_loss(*projections(5))
    assert calls == []
    nt_xent_loss(*projections(6))
    assert calls == [12]


def double_precision(z: Tensor, temperature: float) -> tuple[float, Tensor]:
    """Loss and gradient of equation 1 in float64, the rows of the gradient summed over a few hundred at a time."""
    z = z.detach().double().requires_grad_()
    count = 2 * z.shape[1]
    loss = 0.0
    for rows in torch.arange(count).split(600):
        unit = F.normalize(z.flatten(0, 1), dim=1)
        logits = unit[rows] @ unit.T / temperature
        logits = logits.index_put((torch.arange(len(rows)), rows), torch.tensor(float("-inf")).double())
        part = F.cross_entropy(logits, (rows + count // 2) % count, reduction="sum") / count
        part.backward()
        loss += part.item()
    assert z.grad is not None
    return loss, z.grad


def test_thousands_of_pairs() -> None:
    """Float32 in the blocks of the release: right, and in the memory of one block and a few copies of z."""
    z = F.normalize(projections(PAIRS, size=32, dtype=torch.float32).detach(), dim=2).requires_grad_()
    with PeakMemory() as memory:
        found, gradient = outcome(z, 0.1)
    whole = (2 * PAIRS) ** 2 * 4
    assert whole > 4 * module.WHOLE
    assert memory.peak < 4 * module.BLOCK + 20 * z.nbytes < whole / 3
    loss, expected = double_precision(z, 0.1)
    assert found.loss.item() == pytest.approx(loss, rel=1e-6)
    assert (gradient - expected).abs().max() <= FLOAT32_LOSS * expected.abs().max()


def test_memory_of_the_whole() -> None:
    """What the blocks are for; and the measure above sees it."""
    z = projections(500, dtype=torch.float32)
    whole = 1000 * 1000 * 4
    with PeakMemory() as memory:
        outcome(z, 0.1)
    assert memory.peak > 2 * whole
    with blocks(2**16), PeakMemory() as memory:
        outcome(z, 0.1)
    assert memory.peak < whole / 4 + 40 * z.nbytes


def test_no_gradient_wanted() -> None:
    z = projections(9)
    with blocks(40), torch.no_grad():
        found = contrastive_output(z[0], z[1])
    assert not found.loss.requires_grad
    torch.testing.assert_close(found, ContrastiveOutput(*(x.detach() for x in contrastive_output(z[0], z[1]))))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    z = projections(32, dtype=dtype)
    with blocks(500), torch.autocast("cpu", torch.bfloat16):
        found, gradient = outcome(z, 0.05)
    assert (found.loss.dtype, gradient.dtype) == (torch.float32, dtype)
    z_i, z_j = z.detach().double()
    expected = nt_xent_loss(z_i, z_j, 0.05)
    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_zero_projection_has_a_finite_gradient() -> None:
    z = torch.zeros(2, 3, 4, requires_grad=True)
    with blocks(8):
        assert outcome(z, 0.5)[1].isfinite().all()


def test_cannot_be_differentiated_twice() -> None:
    """The gradient is there before the backward pass, so a second derivative would silently be wrong."""
    z = projections(4)
    with blocks(8), pytest.raises(ConfigError, match="differentiated twice"):
        torch.autograd.grad(nt_xent_loss(z[0], z[1]), z, create_graph=True)
