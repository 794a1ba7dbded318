"""A training step without loader and augmentations: what the trainer's is compared with, and what is timed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.gpu.check import NotCheckedError
from benchmarks.gpu.signals import music

WAYS = ("eager", "compiled", "fused")
BACKEND = {"cuda": "inductor", "cpu": "aot_eager"}  # inductor takes minutes to compile for a CPU


class BareStep:
    """Encoder, projector, NT-Xent and Adam, as a step of train/trainer.py computes them.

    Args:
        device: where.
        precision: as of ``--precision``.
        way: eager, compiled or fused.
        width: of the encoder.
        sample_rate: of the crops, which sets the encoder's layers.
        batch_statistics: view or both.
    """

    def __init__(
        self,
        device: torch.device,
        precision: str = "float32",
        way: str = "eager",
        width: int = 512,
        sample_rate: int = 22050,
        batch_statistics: str = "view",
    ) -> None:
        from clmr import ContrastiveModel, Projector, SampleCNN
        from train.precision import Precision

        self.precision = Precision(precision, device.type)
        torch.manual_seed(0)
        encoder = SampleCNN(sample_rate, width)
        if way == "fused":
            if not hasattr(encoder, "fused"):
                raise NotCheckedError("this version's encoder has no way fused")
            encoder.fused = True
        self.model = ContrastiveModel(encoder, Projector(width, out=128), batch_statistics)
        self.model.to(device, self.precision.dtype)
        self.project: Callable[[Tensor], Tensor] = self.model
        if way == "compiled":
            from train.compiling import compiled

            self.project = compiled(self.model, BACKEND[device.type])
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=3e-4, fused=True)

    def gradient(self, views: Tensor) -> Tensor:
        """The loss, with the gradient left in the parameters; nothing waits for the device."""
        from clmr import nt_xent_loss
        from train.precision import tf32

        self.optimizer.zero_grad(set_to_none=True)
        with tf32(allowed=False):
            with self.precision.forward():
                self.projected: Tensor = self.project(views)
            z = self.projected.detach().requires_grad_()
            loss = nt_xent_loss(z[0], z[1])
            loss.backward()
            with self.precision.backward():
                self.projected.backward(z.grad)
        return loss.detach()

    def step(self, views: Tensor) -> Tensor:
        """:meth:`gradient` and the optimiser."""
        loss = self.gradient(views)
        self.optimizer.step()
        return loss

    def gradients(self) -> dict[str, Tensor]:
        """Of every parameter that has one."""
        return {name: each.grad for name, each in self.model.named_parameters() if each.grad is not None}

    def statistics(self) -> dict[str, Tensor]:
        """The running statistics of the batch norms."""
        return {name: each for name, each in self.model.named_buffers() if each.is_floating_point()}


def views_of(pairs: int, sample_rate: int = 22050, seed: int = 0) -> Tensor:
    """Views of music, float32 ``[2, pairs, 1, T]``, on the CPU."""
    from clmr import crop_frames

    return music(2 * pairs, crop_frames(sample_rate), seed).view(2, pairs, 1, -1)
