"""The encoder of CPC: seven strided convolutions, one latent for every 480 samples (paper section 2.5).

    convolution   0       1      2      3    4    5    6
    kernel        10      6      4      4    4    2    2
    stride        5       3      2      2    2    2    2
    padding       2       2      2      2    1    1    1
    frames        11,809  3,936  1,969  985  492  247  124     of a crop of 59,049

A latent sees 710 samples. Kernels, strides and the 512 filters are the paper's, the padding is that of the authors'
code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from clmr.batchnorm import GlobalBatchNorm1d


class Layer(NamedTuple):
    """One convolution, in frames."""

    kernel: int
    stride: int
    padding: int


LAYERS = tuple(map(Layer, (10, 6, 4, 4, 4, 2, 2), (5, 3, 2, 2, 2, 2, 2), (2, 2, 2, 2, 1, 1, 1)))


def latent_count(frames: int) -> int:
    """Latents of a crop of so many samples: 124 of 59,049; 0 where the crop is too short for one."""
    for layer in LAYERS:
        frames = max(0, (frames + 2 * layer.padding - layer.kernel) // layer.stride + 1) if frames else 0
    return frames


class StridedBlock(nn.Module):
    """Strided convolution, batch normalisation over all ranks where it is asked for, ReLU: ``[N, C, T]`` both ways."""

    def __init__(self, channels_in: int, channels_out: int, layer: Layer, *, batch_norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels_out, layer.kernel, layer.stride, layer.padding)
        nn.init.kaiming_uniform_(self.conv.weight, mode="fan_in", nonlinearity="relu")  # paper section 2.9
        self.norm = GlobalBatchNorm1d(channels_out) if batch_norm else None

    def forward(self, x: Tensor) -> Tensor:
        """Filter and rectify."""
        if self.norm is None:
            return F.relu(self.conv(x))
        conv = self.conv
        assert conv.bias is not None
        y = F.conv1d(x, conv.weight, None, conv.stride, conv.padding)  # the normalisation deals with the bias
        return F.relu(self.norm(y.unsqueeze(2), offset=conv.bias).squeeze(2))


def build_encoder(width: int, *, batch_norm: bool) -> nn.Sequential:
    """Audio ``[N, 1, T]`` -> latents ``[N, width, latent_count(T)]``."""
    channels = [1, *[width] * len(LAYERS)]
    return nn.Sequential(
        *(
            StridedBlock(before, after, layer, batch_norm=batch_norm)
            for before, after, layer in zip(channels[:-1], channels[1:], LAYERS, strict=True)
        )
    )
