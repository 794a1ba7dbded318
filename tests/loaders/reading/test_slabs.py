"""Slabs go round, but never while a tensor over them lives."""

from __future__ import annotations

import gc

import torch

from loaders.reading.slabs import SlabPool


def test_a_slab_returns_with_its_last_tensor() -> None:
    pool = SlabPool((4, 2, 10))
    slab = pool.take()
    tensor = pool.lend(slab, 4)
    part = tensor[2, 1, 3:5].view(torch.uint8)
    array = part.numpy()
    for name in ("tensor", "part"):
        assert not pool._free, f"came back while a {name} was held"
        if name == "tensor":
            del tensor
        else:
            del part
    assert not pool._free, "came back while an array was held"
    del array
    gc.collect()
    assert pool.take() is slab


def test_a_held_slab_is_not_taken_again() -> None:
    pool = SlabPool((2, 2, 5))
    held = [pool.lend(pool.take(), 2) for _ in range(5)]
    assert len({tensor.data_ptr() for tensor in held}) == 5
    held.clear()
    assert {pool.lend(pool.take(), 2).shape for _ in range(20)} == {(2, 2, 5)}
    assert pool.allocated == 5


def test_lending_fewer_rows() -> None:
    pool = SlabPool((4, 1, 3))
    assert pool.lend(pool.take(), 2).shape == (2, 1, 3)
