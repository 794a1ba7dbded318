"""Log-spectrum statistics: the baseline that learns nothing, against which learned features must show their worth."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LogSpectrum(nn.Module):
    """Mean and standard deviation over time of the log magnitude spectrum of a window.

    Shape:
        input ``[N, 1, T]`` with T >= 512, output ``[N, 514]``: 257 means, then 257 deviations, in nepers.
    """

    width = 514

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("hann", torch.hann_window(512))

    def forward(self, audio: Tensor) -> Tensor:
        """Spectrogram with 512-sample Hann frames every 256 samples, log, then statistics over frames."""
        assert isinstance(self.hann, Tensor)
        spectrum = torch.stft(audio.squeeze(1), 512, 256, window=self.hann, return_complex=True)
        level = (spectrum.abs() + 1e-4).log()  # 1e-4 of full scale keeps digital silence finite
        return torch.cat([level.mean(dim=2), level.std(dim=2)], dim=1)
