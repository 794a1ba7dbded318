"""sox's ``tempo``: longer or shorter at the same pitch, by WSOLA (waveform similarity overlap-add), batched over rows.

The algorithm of sox 14.4.2, default profile, linear search. Segments of 82 ms are read at positions ``factor`` times
as far apart as they are written, and each is moved within a window of 14.7 ms to where it resembles most, in least
squares, what followed the segment before it; the two are cross-faded over 12 ms. Where a window lies does not depend
on the matches before it, so the spectra and energies of many windows are computed at once, and only the
cross-correlation with the tail of the segment before runs segment by segment.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clmr.augment.kernels.launch import use_kernels
from clmr.augment.send import send
from clmr.errors import ConfigError

SEGMENT_MS = 82.0
SEARCH_MS = SEGMENT_MS / 5.587
OVERLAP_MS = SEGMENT_MS / 6.833
LOWEST_RATE = 1000
TOGETHER = 8  # segments whose windows are transformed at once: their spectra stay in the cache of a CPU
BITS = 19  # of the whole numbers compared, below the peak of the row


@dataclass(frozen=True)
class TempoPlan:
    """What of a stretch does not depend on the audio; its tensors are on the host."""

    segment: int
    """Samples of a segment."""

    overlap: int
    """Samples of a cross-fade."""

    search: int
    """Candidate positions of a segment."""

    frames: int
    """Samples of a row before the stretch, T."""

    starts: Tensor
    """First candidate position of each segment in samples of the row, int64 ``[N, S]``; negative in the first
    segment, where zeros are read, and T in those past a row's count."""

    count: Tensor
    """Segments of each row, int64 ``[N]``."""

    lengths: Tensor
    """Samples of each row after the stretch, int64 ``[N]``."""

    @property
    def step(self) -> int:
        """Samples that a segment adds to the result."""
        return self.segment - self.overlap


def tempo_plan(factor: Tensor, sample_rate: int, frames: int) -> TempoPlan:
    """Lay out the segments as sox does.

    Args:
        factor: tempo of each row, float64 on the host, > 0, shape ``[N]``; above 1 is faster and shorter.
        sample_rate: samples per second.
        frames: samples of a row, >= 1.

    Raises:
        ConfigError: the sample rate is below 1000, too low for segments of 82 ms.
    """
    if sample_rate < LOWEST_RATE:
        raise ConfigError(f"stretching needs a sample rate of {LOWEST_RATE} Hz or more, got {sample_rate}")
    segment = int(sample_rate * SEGMENT_MS / 1000 + 0.5)
    search = int(sample_rate * SEARCH_MS / 1000 + 0.5)
    overlap = max(int(sample_rate * OVERLAP_MS / 1000 + 4.5), 16) // 8 * 8
    step = segment - overlap
    lengths = (frames / factor + 0.5).floor().long()
    count = -(-lengths // step)
    s = torch.arange(int(count.max()), dtype=torch.float64, device="cpu")
    # sox reads half a search window of zeros before the row.
    starts = (factor[:, None] * (s * step) + 0.5).floor().long() - search // 2
    return TempoPlan(segment, overlap, search, frames, starts.masked_fill(s >= count[:, None], frames), count, lengths)


def search_offsets(audio: Tensor, plan: TempoPlan) -> Tensor:
    """Where in its window each segment follows best on the one before it.

    The least sum of squared differences over the overlap; of equal ones the first. Samples are compared as whole
    numbers of 19 bits below the peak of their row: every sum is then exact in float64, in any order and, once
    rounded, by FFT. So ties are ties, and neither the device nor the other rows of a batch can decide a match.

    So what is 90 dB or more below the peak of the row is lost, and where that decides, a match may differ from sox's;
    as each follows on the one before, so may those after it. Of 324 segments of white noise before music, all are
    sox's where the noise is 60 dB below the music, some 200 at 70 dB and one in ten at 100 dB.

    Args:
        audio: shape ``[N, T]``.
        plan: of :func:`tempo_plan` for these rows.

    Returns:
        int64 on the device, shape ``[N, S]``, in ``[0, search)``; ``search // 2`` in the first segment, which has
        nothing to follow.
    """
    if use_kernels(audio):
        from clmr.augment.kernels import tempo as kernels

        return kernels.search_offsets(audio, plan)
    order = plan.count.argsort(descending=True)  # the rows that have a segment s are then the first ones
    there = send(order, audio.device)
    rows = _Rows(audio, plan)
    start = rows.start[there]
    scale = _scale(audio)[there, None]
    # |w - t|^2 = |w|^2 - 2 w t + |t|^2 for a window w and the tail t, and |t|^2 is the same for all candidates. The
    # other two are correlations with the window: |w|^2 of its squares with a box, w t of itself with the tail.
    size = -(-(plan.search + plan.overlap - 1) // 64) * 64  # no candidate wraps around, and such FFTs are fast
    box = torch.fft.rfft(scale.new_ones(plan.overlap), size).conj_physical_()
    found = torch.full_like(start, plan.search // 2)
    alive = (plan.count > torch.arange(start.shape[1], device="cpu")[:, None]).sum(dim=1).tolist()
    for s in range(1, start.shape[1]):
        place = (s - 1) % TOGETHER
        if place == 0:
            windows = rows.read(start[: alive[s], s : s + TOGETHER], size).double().mul_(scale[: alive[s], None])
            spectra = torch.fft.rfft(windows.round_())
            energy = torch.fft.rfft(windows.square_()).mul_(box)
        live = slice(alive[s])
        at = start[live, s - 1] + found[live, s - 1] + plan.step
        tail = rows.read(at, plan.overlap).double().mul_(scale[live]).round_()
        tail = torch.fft.rfft(tail, size).conj_physical_()
        squares = torch.fft.irfft(torch.addcmul(energy[live, place], tail, spectra[live, place], value=-2), size)
        found[live, s] = squares[:, : plan.search].round_().argmin(dim=1)
    return torch.empty_like(found).index_copy_(0, there, found)


def stretch(audio: Tensor, plan: TempoPlan, offsets: Tensor) -> Tensor:
    """Write the segments one after the other, cross-faded.

    Args:
        audio: shape ``[N, T]``.
        plan: of :func:`tempo_plan` for these rows.
        offsets: of :func:`search_offsets`.

    Returns:
        Shape ``[N, plan.lengths.max()]``, zero past the length of a row.
    """
    if use_kernels(audio):
        from clmr.augment.kernels import tempo as kernels

        return kernels.stretch(audio, plan, offsets)
    rows = _Rows(audio, plan)
    at = rows.start + offsets
    out = rows.read(at, plan.step)
    # While a segment begins, the one before goes on: (1 - fade) before + fade segment.
    fade = torch.arange(plan.overlap, device=audio.device, dtype=audio.dtype) / plan.overlap
    before = rows.read(at[:, :-1] + plan.step, plan.overlap)
    out[:, 1:, : plan.overlap] = before.lerp_(out[:, 1:, : plan.overlap], fade)
    shortest, longest = int(plan.lengths.min()), int(plan.lengths.max())
    out = out.flatten(1)[:, :longest]
    past = torch.arange(shortest, longest, device=audio.device) >= send(plan.lengths, audio.device)[:, None]
    out[:, shortest:].masked_fill_(past, 0)
    return out


class _Rows:
    """The rows end to end, with zeros between them, to read pieces from anywhere in them."""

    def __init__(self, audio: Tensor, plan: TempoPlan) -> None:
        before = plan.search // 2
        padded = F.pad(audio, (before, plan.search + plan.segment))
        self.samples = padded.view(-1)
        first = torch.arange(len(audio), device="cpu")[:, None] * padded.shape[1] + before
        self.start = send(plan.starts + first, audio.device)
        """Where in ``samples`` the candidates of each segment begin, int64 ``[N, S]``."""

    def read(self, at: Tensor, length: int) -> Tensor:
        """The ``length`` samples from each position on, shape ``[*at.shape, length]``."""
        pieces = self.samples.as_strided((len(self.samples) - length + 1, length), (1, 1))
        return pieces.index_select(0, at.flatten()).view(*at.shape, length)


def _scale(audio: Tensor) -> Tensor:
    """The power of two that takes the peak of each row to between 2^18 and 2^19, float64 ``[N]``."""
    peak = torch.maximum(audio.amax(dim=1), -audio.amin(dim=1)).double()
    mantissa, _ = torch.frexp(peak)  # peak = mantissa 2^e, mantissa in [0.5, 1)
    return torch.where(peak > 0, mantissa / peak * 2.0**BITS, 1.0).clamp(max=1e300)
