"""SampleCNN, the paper's encoder: a waveform crop in, one feature vector out (paper section 2.3; Lee et al., 2018)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clmr.batchnorm import GlobalBatchNorm1d
from clmr.errors import ConfigError

# Kernel size of the nine middle convolutions, which is also the stride of the pooling behind each.
POOLS = {
    22050: (3, 3, 3, 3, 3, 3, 3, 3, 3),
    16000: (3, 3, 3, 3, 3, 3, 5, 2, 2),
    8000: (3, 3, 3, 2, 2, 4, 4, 2, 2),
}
# Output channels of the eleven convolutions, in quarters of the width.
QUARTERS = (1, 1, 1, 2, 2, 2, 2, 2, 2, 4, 4)


def crop_frames(sample_rate: int) -> int:
    """Samples in the one crop length the encoder takes: 59,049 at 22.05 kHz, 43,740 at 16 kHz, 20,736 at 8 kHz."""
    if sample_rate not in POOLS:
        raise ConfigError(f"sample rate must be one of {', '.join(map(str, POOLS))} Hz, got {sample_rate}")
    return 3 * math.prod(POOLS[sample_rate])


class Block(nn.Sequential):
    """Convolution, batch normalisation, pooling and ReLU. Named children: ``0`` the convolution, ``1`` the norm."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, pool: int) -> None:
        stem = channels_in == 1
        conv = nn.Conv1d(channels_in, channels_out, kernel, stride=kernel if stem else 1, padding=0 if stem else 1)
        super().__init__(conv, GlobalBatchNorm1d(channels_out))
        nn.init.kaiming_uniform_(conv.weight, mode="fan_in", nonlinearity="relu")
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Placeholder."""
        conv, norm = self[0], self[1]
        y = F.conv2d(x, conv.weight.unsqueeze(2), conv.bias, stride=(1, conv.stride[0]), padding=(0, conv.padding[0]))
        y = norm(y)
        # max and ReLU commute (both are monotone), and after pooling there is less to rectify.
        if self.pool > 1:
            y = F.max_pool2d(y, (1, self.pool))
        return y.relu()


class SampleCNN(nn.Module):
    """Placeholder."""

    def __init__(self, sample_rate: int = 22050, width: int = 512) -> None:
        super().__init__()
        self.crop_frames = crop_frames(sample_rate)
        if width < 16 or width % 4:
            raise ConfigError(f"width must be a multiple of 4 and at least 16, got {width}; the paper's is 512")
        self.sample_rate = sample_rate
        self.width = width
        channels = [1] + [quarters * width // 4 for quarters in QUARTERS]
        kernels = (3, *POOLS[sample_rate], 3)
        pools = (1, *POOLS[sample_rate], 1)
        self.sequential = nn.Sequential(*map(Block, channels[:-1], channels[1:], kernels, pools))

    def forward(self, audio: Tensor) -> Tensor:
        """Encode."""
        if audio.ndim != 3 or audio.shape[1:] != (1, self.crop_frames):
            raise ConfigError(
                f"the {self.sample_rate} Hz encoder takes audio of shape [N, 1, {self.crop_frames}], got "
                f"{list(audio.shape)}; cut longer audio into windows of that many samples"
            )
        x = audio.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.sequential(x)
        return features.flatten(1)
