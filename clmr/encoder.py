"""SampleCNN, the paper's encoder: a waveform crop in, one feature vector out (paper section 2.3; Lee et al., 2018).

Eleven convolutions, each with batch normalisation and ReLU; the nine middle ones pool. At 22.05 kHz and width 512:

    convolution   0        1, 2      3         4 .. 8    9        10
    channels      128      128       256       256       512      512
    kernel        3        3         3         3         3        3
    pooling       stride 3 3         3         3         3        -
    frames        19,683   6,561 ..  729       243 .. 3  1        1
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clmr.batchnorm import GlobalBatchNorm1d, Moments, over_ranks
from clmr.errors import ConfigError
from clmr.fused import Convolution, features

# The nine middle blocks: the pooling's size and stride, which is also the convolution's kernel size.
POOLS = {
    22050: (3, 3, 3, 3, 3, 3, 3, 3, 3),
    16000: (3, 3, 3, 3, 3, 3, 5, 2, 2),
    8000: (3, 3, 3, 2, 2, 4, 4, 2, 2),
}
STEM = 3  # kernel and stride of the first convolution
QUARTERS = (1, 1, 1, 2, 2, 2, 2, 2, 2, 4, 4)  # output channels of the eleven convolutions, in quarters of the width


def crop_frames(sample_rate: int) -> int:
    """Samples of the one crop length the encoder takes: 59,049 at 22.05 kHz, 43,740 at 16 kHz, 20,736 at 8 kHz.

    Args:
        sample_rate: 22050, 16000 or 8000 Hz.
    """
    if sample_rate not in POOLS:
        raise ConfigError(f"sample rate must be one of {', '.join(map(str, POOLS))} Hz, got {sample_rate}")
    return STEM * math.prod(POOLS[sample_rate])


class Block(nn.Sequential):
    """Convolution (child ``0``), batch normalisation (child ``1``), max-pooling, ReLU.

    Activations are ``[N, C, 1, T]``, channels last in memory: torch knows that layout for images only, and both the CPU
    and the tensor cores want it. The weight keeps its Conv1d shape and is viewed as a (1, k) kernel.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, pool: int) -> None:
        super().__init__(
            nn.Conv1d(channels_in, channels_out, kernel, padding=1),
            GlobalBatchNorm1d(channels_out),
        )
        self.pool = pool
        nn.init.kaiming_uniform_(self.conv.weight, mode="fan_in", nonlinearity="relu")  # paper section 2.9

    @property
    def conv(self) -> nn.Conv1d:
        """Child ``0``."""
        return cast("nn.Conv1d", self[0])

    @property
    def bias(self) -> Tensor:
        """The convolution's bias, shape ``[C_out]``."""
        assert self.conv.bias is not None
        return self.conv.bias

    @property
    def norm(self) -> GlobalBatchNorm1d:
        """Child ``1``."""
        return cast("GlobalBatchNorm1d", self[1])

    def forward(self, x: Tensor, groups: int = 1) -> Tensor:
        """``[N, C_in, 1, T]`` -> ``[N, C_out, 1, T / pool]``; for ``groups`` see :class:`SampleCNN`."""
        weight, bias = self.conv.weight.unsqueeze(2), self.bias
        if self.norm.training:
            y = self.norm(F.conv2d(x, weight, padding=(0, 1)), offset=bias, groups=groups)
        else:
            scale, shift = self.norm.fold()
            folded = (weight * scale[:, None, None, None]).to(x.dtype), (bias * scale + shift).to(x.dtype)
            y = F.conv2d(x, *folded, padding=(0, 1))
        if self.pool > 1:
            y = F.max_pool2d(y, (1, self.pool))
        # The architecture's order is ReLU, pooling. Both are monotone, so they commute, and there is less to rectify.
        return F.relu(y, inplace=True)


class Stem(Block):
    """The first block: one channel in, kernel equal to stride, no pooling.

    Its convolution is a linear map of 3 samples, y = W x + b, so the moments of y follow from those of x:
    E[y] = W E[x] + b and Var[y] = diag(W Cov[x] W^T). The normalisation is folded into W and b before y exists, which
    spares the two largest activations of the network.
    """

    def __init__(self, channels_out: int) -> None:
        super().__init__(1, channels_out, STEM, pool=1)
        self.conv.stride, self.conv.padding = (STEM,), (0,)

    def forward(self, x: Tensor, groups: int = 1) -> Tensor:
        """``[N, 1, T]`` -> ``[N, C_out, 1, T / 3]``; for ``groups`` see :class:`SampleCNN`."""
        samples, weight = self.fold(x, groups)
        if x.is_cuda and self.norm.training:
            # The weight's gradient is 4 C numbers, each a sum over all frames: as one matrix product it would keep one
            # or two multiprocessors busy, so every row has a product of its own.
            samples, weight = samples.unflatten(1, (-1, x.shape[2] // STEM)), weight.unsqueeze(1)
        y = (samples @ weight.to(x.dtype).mT).relu_()
        return y.view(x.shape[0], 1, -1, y.shape[-1]).permute(0, 3, 1, 2)

    def fold(self, x: Tensor, groups: int = 1) -> tuple[Tensor, Tensor]:
        """The samples under the filters, and the filters with bias and normalisation in them.

        Returns:
            ``[G, M, 4]``, three samples and a 1, which carries the bias, and float64 ``[G, C, 4]``; in evaluation
            ``[1, M, 4]`` and ``[C, 4]``.
        """
        groups = groups if self.norm.training else 1
        samples = F.pad(x.reshape(groups, -1, STEM), (0, 1), value=1)
        weight = torch.cat([self.conv.weight[:, 0], self.bias[:, None]], dim=1)  # [C, 4]
        frames = x.shape[2] // STEM
        moments = self._moments(samples.unflatten(1, (-1, frames)), weight) if self.norm.training else None
        scale, shift = self.norm.fold(moments)
        return samples, weight * scale[..., None] + F.pad(shift[..., None], (STEM, 0))

    def _moments(self, samples: Tensor, weight: Tensor) -> Moments:
        """The moments of the convolution's output, over all ranks, also into the running statistics."""
        # float64, because neighbouring samples are nearly equal and the filters take their differences.
        groups = [_moments_of_product(group, weight.double()) for group in samples.double()]
        moments = over_ranks(Moments(*map(torch.stack, zip(*groups, strict=True))))
        self.norm.track(moments)
        return moments


def _moments_of_product(samples: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number ``[1]``, mean ``[C]`` and variance ``[C]`` of ``[N, M, 4]`` samples times ``[C, 4]`` weights."""
    n = torch.full((1,), samples.shape[0] * samples.shape[1], dtype=torch.float64, device=samples.device)
    # [4, 4]: E[x x^T], and E[x] in the last row. Crop by crop, as a GPU does little of one long sum at a time.
    second = (samples.mT @ samples).sum(dim=0) / n
    mean = second[-1]
    covariance = second - mean[:, None] * mean  # the last row and column are 0: a bias does not vary
    variance = (weight @ covariance * weight).sum(dim=1).clamp(min=0)
    return n, weight @ mean, variance


class SampleCNN(nn.Module):
    """The encoder for one of three sample rates.

    State-dict keys are those of the authors' code, ``sequential.{0..10}.{0,1}.*``; 2,368,512 parameters at 22.05 kHz
    and width 512.

    Args:
        sample_rate: 22050, 16000 or 8000 Hz; it sets the kernels, the pooling and the length of the crop.
        width: features per crop, a multiple of 4 and >= 16. The inner layers have a quarter or half as many channels.

    Set ``fused`` to train in a fourth of the memory: the backward pass then makes most activations again
    (``clmr.fused``). Features, gradients and running statistics are the same.

    Shape:
        float ``[N, 1, crop_frames(sample_rate)]`` in +-1 -> ``[N, width]``, >= 0.

    Raises:
        ConfigError: the rate or width is not allowed, or the input has another shape.
    """

    def __init__(self, sample_rate: int = 22050, width: int = 512) -> None:
        super().__init__()
        self.crop_frames = crop_frames(sample_rate)
        if width < 16 or width % 4:
            raise ConfigError(f"width must be a multiple of 4 and at least 16, got {width}; the paper's is 512")
        self.sample_rate = sample_rate
        self.width = width
        self.fused = False
        stem, *channels = (quarters * width // 4 for quarters in QUARTERS)
        pools = POOLS[sample_rate]
        self.sequential = nn.Sequential(
            Stem(stem),
            *map(Block, [stem, *channels[:-1]], channels, [*pools, 3], [*pools, 1]),
        )

    def forward(self, audio: Tensor, groups: int = 1) -> Tensor:
        """Encode crops.

        Args:
            audio: shape ``[N, 1, crop_frames(sample_rate)]``.
            groups: parts of equal size, one after the other in N, whose batch statistics are taken apart in training.
                Results and running statistics are those of a call for each part, in that order.
        """
        if audio.ndim != 3 or audio.shape[1:] != (1, self.crop_frames):
            raise ConfigError(
                f"the {self.sample_rate} Hz encoder takes audio of shape [N, 1, {self.crop_frames}], got "
                f"{list(audio.shape)}; cut longer audio into windows of that many samples"
            )
        if not audio.is_floating_point():
            raise ConfigError(f"the encoder takes float audio in +-1, got {audio.dtype}; see clmr.augment.from_int16")
        if groups < 1 or len(audio) % groups:
            raise ConfigError(f"groups must divide the {len(audio)} crops into equal parts, got {groups}")
        blocks = [cast("Block", block) for block in self.sequential]
        if self.fused and all(block.norm.training for block in blocks):
            return self._fused(audio, groups)
        x = audio
        for block in blocks:
            x = block(x, groups=groups)
        return x.flatten(1)

    def _fused(self, audio: Tensor, groups: int) -> Tensor:
        """The same features, with little kept for the backward pass."""
        stem, *blocks = (cast("Block", block) for block in self.sequential)
        kind = audio.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else audio.dtype
        with torch.autocast(kind, enabled=False):
            folded = cast("Stem", stem).fold(audio, groups)[1]
            convolutions = [
                Convolution(
                    block.conv.weight, block.bias, block.norm.weight, block.norm.bias, block.norm.eps, block.pool
                )
                for block in blocks
            ]
            x, moments = features(audio, folded, convolutions, groups, dtype)
        for block, found in zip(blocks, moments, strict=True):
            block.norm.track(found._replace(mean=found.mean + block.bias.detach()))
        return x
