"""An encoder as MARBLE v2 and harnesses like it want one: waveforms in, a tuple of layers of features over time out.

MARBLE (Yuan et al., 2023; version 2 of June 2025, github.com/a43992899/MARBLE) builds its encoders from YAML by class
path, gives them batches ``[B, T]`` of mono audio in +-1, and expects a tuple of hidden states, each ``[B, T', D]``. Its
transforms stack these to ``[B, L, T', D]``. SampleCNN has one output for a crop and no layers of one width, so L is 1
and T' counts windows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
import torchaudio
from torch import Tensor, nn

from clmr.errors import ConfigError
from clmr.loading import load_encoder

# Of the low-pass in torchaudio's resampling: a Kaiser window of 64 zero crossings a side, pass band up to 0.95 of the
# lower Nyquist frequency, stop band below -120 dB. Its defaults (6 zero crossings) dampen from 0.8 on.
RESAMPLING: dict[str, Any] = {
    "lowpass_filter_width": 64,
    "rolloff": 0.9475937167399596,
    "resampling_method": "sinc_interp_kaiser",
    "beta": 14.769656459379492,
}


class MarbleEncoder(nn.Module):
    """A frozen SampleCNN that hears audio of any length from one window on, at any sample rate.

    It stays in evaluation mode and outside autocast, whatever the harness sets for its probe, and gradients stop at it.

    Args:
        weights: what :func:`clmr.load_encoder` reads: a run, a checkpoint, the authors' weights, safetensors.
        sample_rate: Hz of the audio that will come; None: the encoder's.
        hop: seconds from the start of a window to that of the next; None: one behind the other.
        batch_size: windows that are encoded at once.

    Attributes:
        sample_rate: Hz of the audio that is expected.
        window_seconds: length of a window.
        token_rate: windows per second.
        num_features: D.

    Shape:
        float ``[B, T]`` or ``[B, 1, T]`` in +-1 -> a tuple of one ``[B, T', D]``; samples behind the last whole window
        are left out.

    Raises:
        ConfigError: a setting that cannot be used.
        ResumeError: the weights cannot be read.
    """

    def __init__(
        self, weights: str | Path, sample_rate: int | None = None, hop: float | None = None, batch_size: int = 64
    ) -> None:
        super().__init__()
        self.model = load_encoder(weights).requires_grad_(requires_grad=False)
        rate, window = self.model.sample_rate, self.model.crop_frames
        self.sample_rate = rate if sample_rate is None else sample_rate
        self.hop_frames = window if hop is None else round(hop * rate)
        if self.sample_rate < 1 or self.hop_frames < 1 or batch_size < 1:
            raise ConfigError(
                f"sample rate {sample_rate}, hop {hop} s, batch size {batch_size}: the rate and the batch size must be "
                f"at least 1, the hop at least one sample, {1 / rate:.6f} s"
            )
        self.batch_size = batch_size
        self.num_features = self.model.width
        self.window_seconds, self.token_rate = window / rate, rate / self.hop_frames

    def train(self, mode: bool = True) -> Self:
        """The mode of everything but the encoder, which keeps its statistics."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, input_tensor: Tensor, input_len: Tensor | None = None) -> tuple[Tensor]:
        """The hidden states: one layer ``[B, T', D]``.

        Args:
            input_tensor: audio, ``[B, T]`` or ``[B, 1, T]``.
            input_len: samples of each row, where MARBLE gives them; all must be T, as padding would count as audio.
        """
        if input_len is not None and bool((input_len != input_tensor.shape[-1]).any()):
            raise ConfigError("rows of different lengths would be embedded with their padding; give one length a batch")
        return (self.get_feature(input_tensor)[:, 0],)

    @torch.no_grad()
    def get_feature(self, waveform: Tensor, sample_rate: int | None = None) -> Tensor:
        """Features over time, ``[B, 1, T', D]``: batch, layer, window, feature.

        Args:
            waveform: float ``[B, T]`` or ``[B, 1, T]`` in +-1.
            sample_rate: Hz; None: the one given to the constructor.

        Raises:
            ConfigError: another shape or type, or shorter than a window.
        """
        audio = self._at_rate(_mono(waveform), self.sample_rate if sample_rate is None else sample_rate)
        window = self.model.crop_frames
        if audio.shape[1] < window:
            raise ConfigError(
                f"the audio has {waveform.shape[-1]} samples, which is less than a window of "
                f"{self.window_seconds:.3f} s; give longer clips"
            )
        windows = audio.unfold(1, window, self.hop_frames)  # [B, T', window], a view
        rows, count = windows.shape[:2]
        numbers = torch.arange(rows * count, device=audio.device).split(self.batch_size)
        with torch.autocast(audio.device.type, enabled=False):
            found = [self.model(windows[number // count, number % count].unsqueeze(1)) for number in numbers]
        return torch.cat(found).view(rows, 1, count, -1)

    def _at_rate(self, audio: Tensor, sample_rate: int) -> Tensor:
        own = next(self.model.parameters())
        audio = audio.to(own.device, own.dtype)
        if sample_rate == self.model.sample_rate:
            return audio
        resampled: Tensor = torchaudio.functional.resample(audio, sample_rate, self.model.sample_rate, **RESAMPLING)
        return resampled


def _mono(waveform: Tensor) -> Tensor:
    if waveform.ndim == 3 and waveform.shape[1] == 1:
        waveform = waveform[:, 0]
    if waveform.ndim != 2 or not len(waveform) or not waveform.is_floating_point():
        raise ConfigError(
            f"audio must be float [B, T] or [B, 1, T], got {waveform.dtype} {list(waveform.shape)}; mix the channels"
        )
    return waveform
