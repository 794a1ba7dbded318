"""Every Triton kernel against the plain PyTorch form that it stands in for, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.gpu.check import Check, Figures, Target, WrongError
from benchmarks.gpu.compare import at_most, close
from benchmarks.gpu.kernels_fused import moments, pooling
from benchmarks.gpu.signals import SAMPLE_RATE, music

FILTER = 2e-7  # of float64, rounded once
SINC = 4e-6  # sums of some hundred products in float32
FADES = 5e-7  # cross-fades, three roundings
TRANSFER = 2e-6  # of a row's peak, where a rounding of the phases is multiplied by 50
SIZES = (1, 31, 256)  # rows: alone, an odd number, a chunk of the chain


def _sizes(target: Target) -> tuple[int, ...]:
    return (1, 3) if target.quick else SIZES


def _frames(target: Target) -> int:
    return 4000 if target.quick else 59049


def _audio(target: Target, rows: int, frames: int | None = None) -> Tensor:
    return music(rows, frames or _frames(target)).to(target.device)


def _worst_row(got: Tensor, wanted: Tensor) -> float:
    """The largest difference relative to each row's largest number."""
    got, wanted = got.flatten(1), wanted.flatten(1)
    error = (got.to(wanted.dtype) - wanted).abs().amax(dim=1)
    return float((error / wanted.abs().amax(dim=1).clamp(min=1e-30)).max())


def one_pole(target: Target) -> Figures:
    """``clmr.augment.kernels.onepole``, with poles from forgetful to one that never forgets."""
    target.need_triton()
    from clmr.augment.kernels.onepole import first_order
    from clmr.augment.onepole import one_pole as plain

    worst = 0.0
    for rows in _sizes(target):
        audio = _audio(target, rows)
        pole = torch.tensor([0.3, -0.51, 0.944, -0.97, 0.9995, 1.0], dtype=torch.float64).repeat(rows)[:rows]
        direct, delayed = torch.linspace(0.2, 1, rows).double(), torch.linspace(-0.7, 1, rows).double()
        got = first_order(audio, pole, direct, delayed)
        x = audio[:, 0].double()
        w = torch.nn.functional.pad(plain(x, pole.to(x.device)), (1, 0))[:, :-1]
        wanted = direct.to(x.device)[:, None] * x + delayed.to(x.device)[:, None] * w
        worst = max(worst, at_most(f"{rows} rows, relative difference", _worst_row(got[:, 0], wanted), FILTER))
    return {"relative_difference": worst, "rows": list(_sizes(target))}


def resample(target: Target) -> Figures:
    """``clmr.augment.kernels.resample``: up, down, not at all, short and long periods."""
    target.need_triton()
    from clmr.augment import resample as plain
    from clmr.augment.kernels import resample as kernels

    worst = 0.0
    ratios = ((3, 4), (5, 4), (1, 1), (671, 503), (89, 84), (297, 250))
    for rows in _sizes(target):
        audio = _audio(target, rows)[:, 0]
        p, q = (torch.tensor([ratio[side] for ratio in ratios]).repeat(rows)[:rows] for side in (0, 1))
        frames = audio.shape[1]
        got, wanted = kernels.resample(audio, p, q, frames), plain.resample(audio.double(), p, q, frames)
        worst = max(worst, at_most(f"{rows} rows, relative difference", _worst_row(got, wanted), SINC))
    return {"relative_difference": worst, "rows": list(_sizes(target))}


def tempo(target: Target) -> Figures:
    """``clmr.augment.kernels.tempo``: every match the same, ties included, then the cross-fades."""
    target.need_triton()
    from clmr.augment import tempo as plain
    from clmr.augment.kernels import tempo as kernels

    worst, segments = 0.0, 0
    for rows in _sizes(target):
        audio = _audio(target, rows)[:, 0]
        audio[rows // 2] = 0.25  # every place fits as well as every other
        plan = plain.tempo_plan(torch.linspace(0.75, 1.33, rows, dtype=torch.float64), SAMPLE_RATE, audio.shape[1])
        offsets, wanted = kernels.search_offsets(audio, plan), plain.search_offsets(audio.double(), plan)
        there = torch.arange(offsets.shape[1]) < plan.count[:, None]
        if different := int(((offsets != wanted).cpu() & there).sum()):
            raise WrongError(f"{rows} rows: {different} of {int(plan.count.sum())} segments are joined elsewhere")
        segments += int(plan.count.sum())
        got, stretched = kernels.stretch(audio, plan, offsets), plain.stretch(audio.double(), plan, offsets)
        worst = max(worst, at_most(f"{rows} rows, relative difference", _worst_row(got, stretched), FADES))
    return {"relative_difference": worst, "segments_joined_alike": segments, "rows": list(_sizes(target))}


def freeverb(target: Target) -> Figures:
    """``clmr.augment.kernels.freeverb`` in all corners of the reverb's parameters."""
    target.need_triton()
    from clmr.augment import freeverb as plain
    from clmr.augment.kernels import freeverb as kernels

    worst = 0.0
    on = plain.circle(_frames(target), SAMPLE_RATE, torch.float32)
    allpass = plain.allpass_response(SAMPLE_RATE, on).to(target.device)
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 55.0, 100.0], dtype=torch.float64)] * 3)
    for rows in _sizes(target):
        percent = corners[torch.arange(rows) % len(corners)]
        combs = plain.comb_parameters(percent[:, 0], percent[:, 1], percent[:, 2], SAMPLE_RATE)
        spectrum = torch.fft.rfft(_audio(target, rows)[:, 0], on.n_fft)
        got = kernels.wet_spectrum(spectrum, combs, allpass.to(torch.complex64), on)
        wanted = plain.wet_spectrum(spectrum.to(torch.complex128), combs, allpass, on)
        parts = torch.view_as_real(got), torch.view_as_real(wanted)
        worst = max(worst, at_most(f"{rows} rows, relative difference", _worst_row(*parts), TRANSFER))
    return {"relative_difference": worst, "rows": list(_sizes(target))}


def other_stream(target: Target) -> Figures:
    """A kernel runs in the caller's stream: what the stream wrote just before, it reads."""
    target.need_gpu("streams are a GPU's")
    from clmr.augment.kernels.onepole import first_order

    audio = _audio(target, 64)
    numbers = torch.full((64,), 0.5, dtype=torch.float64)
    wanted = first_order(2 * audio, numbers, numbers, numbers)
    stream = torch.cuda.Stream(target.device)
    target.wait()
    with torch.cuda.stream(stream):
        late = audio.clone()
        torch.cuda._sleep(100_000_000)  # tens of milliseconds; a kernel in another stream would not wait for it
        late.mul_(2)
        got = first_order(late, numbers, numbers, numbers)
    stream.synchronize()
    return {"relative_difference": close("in another stream", got, wanted, 0.0)}


CHECKS = (
    Check("first-order filters", "the one-pole kernel is its recursion in float64", one_pole),
    Check("resampling", "the resampling kernel is its sum in float64", resample),
    Check("tempo: matches and cross-fades", "the pitch's two kernels join the segments that sox joins", tempo),
    Check("reverb's transfer function", "the Freeverb kernel is the filters' response in complex128", freeverb),
    Check("moments of the fused pass", "mean and variance of a layer are float64's", moments),
    Check("pooling of the fused pass", "batch norm, pooling and ReLU in one, and their gradients", pooling),
    Check("kernels keep to the caller's stream", "no kernel reads what is not written yet", other_stream),
)
