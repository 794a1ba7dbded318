"""Every effect as the device computes it in float32, against the CPU in float64, before its speed counts."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.contenders.augment_crops import SAMPLE_RATE
from clmr import draw
from clmr.augment import Chain, Views
from clmr.augment.tempo import search_offsets, tempo_plan

# Least ratio of a row to its difference in decibels: the tolerances of the tests with a few to spare, for other FFTs.
FLOORS_DB = {"noise": 100.0, "reverb": 74.0, "pitch": 90.0}
FLOOR_DB = 110.0  # of all others
ROWS = (1, 31, 32, 33)  # around the numbers that batches are rounded up to


class CheckError(Exception):
    """The device computes something else than the CPU; the message says what."""


def hard_rows(frames: int) -> Tensor:
    """Silence, a constant, a square wave, a click, a quiet tone and noise in turn, float32 ``[33, 1, T]``."""
    n = torch.arange(frames)
    click = torch.zeros(frames)
    click[frames // 3] = 1
    noise = 2 * torch.rand(frames, generator=torch.Generator().manual_seed(0)) - 1
    square = torch.where(n // 50 % 2 == 0, 1.0, -1.0)
    kinds = [torch.zeros(frames), torch.full((frames,), 0.5), square, click, 1e-4 * torch.sin(0.1 * n), noise]
    return torch.stack([kinds[row % len(kinds)] * (1 - row / 100) for row in range(max(ROWS))])[:, None]


def check_effects(chain: Chain, device: torch.device, frames: int) -> dict[str, float]:
    """The worst ratio of each effect in decibels, over all rows and numbers of rows.

    Raises:
        CheckError: one is below its floor.
    """
    audio = hard_rows(frames)
    worst: dict[str, float] = {}
    for operation in chain.operations:
        columns = operation.draw(draw_keys(len(audio)))
        expected = operation.apply(audio.double(), columns, chain.sample_rate)
        for rows in ROWS:
            some = {name: values[:rows] for name, values in columns.items()}
            found = operation.apply(audio[:rows].to(device), some, chain.sample_rate).cpu().double()
            difference = (found - expected[:rows]).square().sum(dim=2)
            power = expected[:rows].square().sum(dim=2)
            ratio = 10 * torch.log10(power.clamp(min=1e-30) / difference.clamp(min=1e-30))
            least = float(torch.where(difference == 0, torch.inf, ratio).min())
            worst[operation.name] = min(worst.get(operation.name, torch.inf), least)
        floor = FLOORS_DB.get(operation.name, FLOOR_DB)
        if not worst[operation.name] >= floor:
            reached = f"{worst[operation.name]:.1f} dB"
            raise CheckError(f"{operation.name} is {reached} from the CPU, at least {floor:g} wanted")
    return worst


def check_matches(device: torch.device, frames: int) -> None:
    """The segments that a pitch shift joins are chosen alike everywhere, ties included.

    Raises:
        CheckError: one is not.
    """
    audio = hard_rows(frames)[:, 0]
    plan = tempo_plan(torch.linspace(0.75, 1.33, len(audio), dtype=torch.float64), SAMPLE_RATE, frames)
    different = (search_offsets(audio.to(device), plan).cpu() != search_offsets(audio, plan)).sum().item()
    if different:
        raise CheckError(f"{different} of {plan.count.sum()} segments are joined elsewhere than on the CPU")


def check_no_wait(views: Views, pcm: Tensor) -> None:
    """A second batch never makes the host wait for the device.

    Raises:
        RuntimeError: of torch, names the call that waits.
    """
    keys = draw_keys(2 * len(pcm)).view(-1, 2)
    views(pcm, keys)
    if pcm.is_cuda:
        torch.cuda.synchronize(pcm.device)
        torch.cuda.set_sync_debug_mode("error")
    try:
        views(pcm, keys)
    finally:
        if pcm.is_cuda:
            torch.cuda.set_sync_debug_mode("default")


def draw_keys(rows: int) -> Tensor:
    """Draw keys ``[rows]``, on the host."""
    return torch.from_numpy(draw.make_keys(7, 0, range(rows), (0,))[:, 0].copy())
