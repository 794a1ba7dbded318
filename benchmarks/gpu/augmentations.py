"""The effects and the chains of both presets against the CPU in float64."""

from __future__ import annotations

import torch

from benchmarks.gpu.check import Check, Figures, Target, WrongError, waiting_refused
from benchmarks.gpu.compare import equal
from benchmarks.gpu.signals import SAMPLE_RATE, crops, draw_keys, music

LEAST_DB = 74.0  # of a row to its difference, as benchmarks.augment_check has it for the reverb, the least exact
PRESETS = ("paper", "official")


def _frames(target: Target) -> int:
    return 4000 if target.quick else 59049


def effects(target: Target) -> Figures:
    """Each of the paper's effects on hard signals, in batches around the sizes that they are rounded up to."""
    from benchmarks.augment_check import CheckError, check_effects, check_matches
    from clmr.augment import Chain

    try:
        found = check_effects(Chain.preset("paper", SAMPLE_RATE), target.device, _frames(target))
        check_matches(target.device, _frames(target))
    except CheckError as error:
        raise WrongError(str(error)) from error
    return {"decibels": {name: ratio if ratio < float("inf") else "exact" for name, ratio in found.items()}}


def _decibels(got: torch.Tensor, wanted: torch.Tensor, crop: torch.Tensor) -> float:
    """The worst row's ratio to its difference; of a row that a filter leaves nothing of, its crop's ratio to that."""
    got, wanted, crop = (each.detach().cpu().double().flatten(1) for each in (got, wanted, crop))
    power = torch.maximum(wanted.square().sum(dim=1), crop.square().sum(dim=1))
    ratio = 10 * torch.log10(power.clamp(min=1e-30) / (got - wanted).square().sum(dim=1).clamp(min=1e-30))
    return float(ratio.min())


def chains(target: Target) -> Figures:
    """Whole chains, as drawn."""
    from clmr.augment import Chain

    found = {}
    for preset in PRESETS:
        chain = Chain.preset(preset, SAMPLE_RATE)
        rows = 8 if target.quick else 64
        audio, keys = music(rows, _frames(target)), draw_keys(rows // 2).flatten()
        table = chain.draw(keys)
        got = chain.apply(audio.to(target.device), table)
        found[preset] = _decibels(got, chain.apply(audio.double(), table), audio)
        if not found[preset] >= LEAST_DB:
            raise WrongError(f"{preset}: a row is {found[preset]:.1f} dB from the CPU, at least {LEAST_DB:g} wanted")
    return {"decibels": found}


def one_by_one(target: Target) -> Figures:
    """Every row of a batch as it comes out alone."""
    from clmr.augment import Chain

    rows = 6 if target.quick else 96
    audio, keys = music(rows, _frames(target)).to(target.device), draw_keys(rows // 2).flatten()
    found: dict[str, object] = {}
    for preset in PRESETS:
        chain = Chain.preset(preset, SAMPLE_RATE)
        together = chain(audio, keys)
        alone = torch.cat([chain(audio[row : row + 1], keys[row : row + 1]) for row in range(rows)])
        worst = _decibels(together, alone, audio)
        if not worst >= LEAST_DB:
            raise WrongError(f"{preset}: a row alone is {worst:.1f} dB from the same row in a batch")
        same = int((together == alone).flatten(1).all(dim=1).sum())
        found[preset] = {"decibels": worst, "rows_equal_to_the_bit": f"{same} of {rows}"}
    return found


def no_waiting(target: Target) -> Figures:
    """Batches with other numbers of open rows than seen before, too."""
    target.need_gpu("a CPU is not waited for")
    from clmr.augment import Views

    pcm = crops(48, _frames(target)).to(target.device)
    for preset in PRESETS:
        views = Views.preset(preset, SAMPLE_RATE)
        views(pcm, draw_keys(48))
        with waiting_refused(target):
            for number in range(1, 6):
                views(pcm, draw_keys(48, number))
    return {"batches": 5 * len(PRESETS)}


def under_autocast(target: Target) -> Figures:
    """What surrounds a call does not get into it: autocast, TF32."""
    from clmr.augment import Views

    views, pairs = Views.preset("paper", SAMPLE_RATE), 2 if target.quick else 32
    pcm, keys = crops(pairs, _frames(target)).to(target.device), draw_keys(pairs)
    wanted = views(pcm, keys)
    with torch.autocast(target.device.type, torch.bfloat16):
        equal("views under autocast", views(pcm, keys), wanted)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        equal("views where TF32 is allowed", views(pcm, keys), wanted)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return {"views": 2 * pairs}


def memory(target: Target) -> Figures:
    """Batch after batch in the same memory."""
    target.need_gpu("torch counts the memory of GPUs")
    from clmr.augment import Views

    views, pcm = Views.preset("paper", SAMPLE_RATE), crops(48, _frames(target)).to(target.device)
    marks = []
    for number in range(12):
        views(pcm, draw_keys(48, number))
        marks.append(torch.cuda.memory_allocated(target.device))
    if marks[-1] > marks[3]:
        raise WrongError(f"{marks[-1] - marks[3]} bytes more are held after 12 batches than after 4")
    return {"bytes_held": marks[-1], "peak_bytes": torch.cuda.max_memory_allocated(target.device)}


def large(target: Target) -> Figures:
    """A batch of more than 2^31 samples: its last rows are what they are in a small one."""
    target.need_gpu("no CPU takes so many rows in time")
    from clmr.augment import Views

    frames = 59049
    pairs = 2**30 // frames + 16
    rows = 2 * pairs
    # Crops in 16 bits, views in float32, and what a chunk of 256 rows takes beside them.
    target.need_bytes(rows * frames * (2 + 4 + 4 + 4) + 2e9)
    few = crops(8, frames).to(target.device)
    keys = draw_keys(8)
    views = Views.preset("paper", SAMPLE_RATE)
    target.need_time(25)
    wanted = views(few, keys)
    repeats = -(-pairs // 8)
    # Every gate closed but in the last eight pairs: what counts is where rows lie, not how long 36,000 effects take.
    first, second = views.draw(keys.repeat(repeats, 1))
    for table in (first, second):
        for name, column in table.items():
            if name.endswith(".gate"):
                column[:-8] = False
    got = views.apply(few.repeat(repeats, 1, 1), (first, second))
    worst = _decibels(got[:, -8:].flatten(0, 1), wanted.flatten(0, 1), wanted.flatten(0, 1))
    if not worst >= LEAST_DB:
        raise WrongError(f"the last rows of {16 * repeats} are {worst:.1f} dB from the same rows in a batch of 16")
    return {"samples": got.numel(), "decibels": worst}


CHECKS = (
    Check("every effect", "float32 on the device is float64 on the CPU, on hard signals, in any batch", effects),
    Check("both presets' chains", "so are whole chains, as drawn", chains),
    Check("batch[i] is the row alone", "what else is in a batch changes no view", one_by_one),
    Check("autocast and TF32 stay outside", "views are float32 whatever surrounds the call", under_autocast),
    Check("augmenting never waits", "the host runs ahead of the device", no_waiting),
    Check("augmenting holds no memory", "the memory of a batch is that of the next", memory),
    Check("more than 2^31 samples", "no index of a large batch overflows", large),
)
