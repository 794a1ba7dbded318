"""Batch normalisation whose training statistics are those of the whole batch, over all ranks."""

from __future__ import annotations

from torch import Tensor, nn

from clmr.collectives import world_size


class GlobalBatchNorm1d(nn.BatchNorm1d):
    """placeholder."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        assert world_size() == 1
        return nn.functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.1, self.eps
        )
