"""Where a step computes in less than float32, and where it must not.

TF32 rounds the factors of a matrix product to 10 bits of mantissa, on NVIDIA GPUs since Ampere. The encoder and the
projector bear that; the similarities of NT-Xent, divided by a small temperature and exponentiated, do not. The switch
is the process's, not the tensor's: it counts at the moment a kernel is launched, and autograd launches the kernels of
the backward pass long after the forward's context is left. A step therefore has to be in one of two states at every
moment of both passes, which :class:`Precision` gives names to; train/trainer.py cuts the graph between projector and
loss, so that each half has a backward pass of its own to be in the right one.

torch lets convolutions use TF32 unless it is told otherwise, so ``float32`` has to switch it off to mean what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@contextmanager
def tf32(*, allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 to cuBLAS and cuDNN inside, and put both switches back, also after an error.

    These two attributes and not the newer ``fp32_precision``: torch.compile reads them, and torch refuses to read them
    once the newer ones were written.
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = allowed
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


@dataclass(frozen=True)
class Precision:
    """What ``--precision`` comes to on a device."""

    name: str
    """float32, tf32, bf16 or float64."""
    device_type: str
    """cpu or cuda. A device without TF32, such as a CPU, computes tf32 as float32."""

    @property
    def dtype(self) -> torch.dtype:
        """Of weights, gradients, optimiser and views."""
        return torch.float64 if self.name == "float64" else torch.float32

    @contextmanager
    def forward(self) -> Iterator[None]:
        """The forward pass of encoder and projector."""
        with self.backward(), torch.autocast(self.device_type, torch.bfloat16, enabled=self.name == "bf16"):
            yield

    @contextmanager
    def backward(self) -> Iterator[None]:
        """Their backward pass; autograd remembers by itself what autocast did."""
        with tf32(allowed=self.name == "tf32"):
            yield
