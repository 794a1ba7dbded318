"""How much memory a run needs on each process's device, worked out before anything is read: ``--memory-plan``.

Activations are counted from the encoder's layers (activations.py). What overlaps in time is estimated; what the CUDA
context, cuDNN, cuBLAS and NCCL take, and what the allocator loses to gaps, is assumed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from clmr.augment.chain import DEVICE_ROWS
from clmr.encoder import crop_frames
from clmr.errors import ConfigError
from clmr.loss import BLOCK, WHOLE
from loaders.prefetch import UPLOADED
from loaders.ways import DEPTH
from sharding.format import read_manifest
from train.memory.activations import EXACT, kept, most_at_once, parameters
from train.ranks.launch import Place
from train.settings import PretrainSettings

GIB = 2**30
CARDS = {"24 GB": 23.5, "40 GB": 39.4, "80 GB": 79.2, "141 GB": 139.8}
"""GPUs by what is printed on them, with the GiB that programs find there."""
LIBRARIES = 1.5 * GIB  # assumed
GAPS = 0.08  # share of the memory; assumed
EFFECT = 6  # times the audio it works on: what the hungriest augmentation, reverb, allocates (counted on a CPU)
SIMILARITY = 3.5  # times the matrix of similarities: logits, log-softmax, its gradient, the mask (counted on a CPU)
OPTIONS = (("float32", False), ("float32", True), ("bf16", False), ("bf16", True))
PROCESSES = (1, 2, 4, 8)


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Bytes on the device of one process."""

    weights: int
    """Weights, their gradients, and what DistributedDataParallel sends."""
    optimizer: int
    crops: int
    """int16, of the batch at work and of those sent ahead."""
    views: int
    """The augmented views of a batch."""
    kept: int
    """Activations between forward and backward pass."""
    model: int
    """Most of both passes of encoder and projector, ``kept`` included; estimated."""
    augmentation: int
    """Working memory of the augmentations; estimated."""
    loss: int
    """Working memory of the loss; estimated."""
    in_blocks: bool
    """Whether the loss makes its similarities block by block."""
    host: int
    """Slabs in the memory of the host that batches are read into."""

    @property
    def peak(self) -> int:
        """The most at any moment: the augmentations are through before the model begins, the model before the loss."""
        lasting = self.weights + self.optimizer + self.crops + self.views
        return lasting + max(self.augmentation, self.model, self.kept + self.loss)

    @property
    def needed(self) -> float:
        """``peak`` with what is assumed for libraries and gaps."""
        return (self.peak + LIBRARIES) / (1 - GAPS)


def memory_plan(settings: PretrainSettings, sample_rate: int, processes: int) -> MemoryPlan:
    """The plan for one of so many processes.

    Args:
        settings: batch, width, projection, precision, fused, optimizer and depth count.
        sample_rate: of the shards, Hz.
        processes: that share each batch; a remainder goes to the first ones, and it is these that are planned.
    """
    exact, frames = EXACT[settings.precision], crop_frames(sample_rate)
    views, keys = 2 * -(-settings.batch_size // processes), 2 * settings.batch_size
    numbers = parameters(sample_rate, settings.width, settings.projection) * exact
    in_blocks = views * keys > WHOLE
    model = sample_rate, settings.width, settings.precision
    ahead = (settings.depth or DEPTH) + UPLOADED
    similarities = max(keys, BLOCK) * exact if in_blocks else round(SIMILARITY * views * keys * exact)
    return MemoryPlan(
        weights=numbers * (3 if processes > 1 else 2),
        optimizer=numbers * (1 if settings.optimizer == "lars" else 2),
        crops=views * frames * 2 * (1 + UPLOADED),
        views=views * frames * exact,
        kept=views * kept(*model, fused=settings.fused),
        model=most_at_once(*model, views, fused=settings.fused, ranks=processes),
        augmentation=min(views, DEVICE_ROWS) * frames * exact * EFFECT,
        loss=similarities + 4 * keys * settings.projection * exact,  # normalised projections and their gradients
        in_blocks=in_blocks,
        host=views * frames * 2 * ahead,
    )


def largest_batch(settings: PretrainSettings, sample_rate: int, bytes_there: float) -> int:
    """The most pairs of one process that fit; 0 where two do not."""
    fits, too_many = 1, 2**24
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        needed = memory_plan(replace(settings, batch_size=middle), sample_rate, 1).needed
        fits, too_many = (middle, too_many) if needed <= bytes_there else (fits, middle)
    return fits if fits > 1 else 0


def device_memory(device: torch.device) -> tuple[str, int]:
    """What the memory is called, and its bytes: the GPU's, or this process's share of the machine's."""
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        return about.name, about.total_memory
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (
        "this machine's memory" if local == 1 else f"this machine's memory, shared by {local} processes",
        whole // local,
    )


def describe(settings: PretrainSettings, place: Place) -> str:
    """The plan of a run, and what other options would make of it, as lines for people.

    Nothing is read but the first manifest, and that only where the settings name no sample rate.

    Raises:
        ConfigError: there are more processes than pairs.
        ShardError: the manifest is missing or damaged.
        StorageError: it cannot be reached.
    """
    if settings.batch_size < place.world_size:
        raise ConfigError(f"--batch-size {settings.batch_size}: fewer pairs than the {place.world_size} processes")
    sample_rate = settings.sample_rate or read_manifest(next(iter(settings.weights))).sample_rate
    return "\n".join([*_lines(settings, sample_rate, place), "", *_table(settings, sample_rate)])


def _lines(settings: PretrainSettings, sample_rate: int, place: Place) -> Iterator[str]:
    plan = memory_plan(settings, sample_rate, place.world_size)
    share = -(-settings.batch_size // place.world_size)
    fused = ", --fused" if settings.fused else ""
    yield (
        f"memory plan: {settings.batch_size} pairs over {place.world_size} process(es), {share} each; "
        f"width {settings.width}, {sample_rate} Hz, {settings.precision}{fused}"
    )
    for name, number, basis in (
        ("weights and gradients", plan.weights, "counted"),
        (f"optimiser ({settings.optimizer})", plan.optimizer, "counted"),
        (f"crops, int16, {1 + UPLOADED} batches", plan.crops, "counted"),
        ("views", plan.views, "counted"),
        ("activations kept for the backward pass", plan.kept, "counted; --compile keeps other ones"),
        ("working memory of encoder and projector", plan.model - plan.kept, "estimated"),
        ("  or of the augmentations, before that", plan.augmentation, "estimated"),
        (f"  or of the loss, {'in blocks' if plan.in_blocks else 'all at once'}", plan.loss, "estimated"),
        ("at the peak", plan.peak, "the sum, of the three last the one that adds most"),
        ("with libraries and gaps", plan.needed, f"{LIBRARIES / GIB:.1f} GiB and {GAPS:.0%}, assumed"),
    ):
        yield f"  {name:<41}{number / GIB:9.2f} GiB   {basis}"
    yield f"  {'slabs in the memory of the host':<41}{plan.host / GIB:9.2f} GiB   beside it; counted"
    name, there = device_memory(place.device)
    verdict = "fits" if plan.needed <= there else f"DOES NOT FIT, it needs {plan.needed / there:.1f} times as much"
    yield f"  {name}: {there / GIB:.1f} GiB: {verdict}"


def _table(settings: PretrainSettings, sample_rate: int) -> Iterator[str]:
    """GiB for other options and numbers of processes, and the largest batches."""
    columns = "".join(f"{number:>8}" for number in PROCESSES)
    cards = "".join(f"{card:>9}" for card in CARDS)
    yield f"{'':18}{'GiB of each of so many processes':^{8 * len(PROCESSES)}}   pairs that fit one process's card"
    yield f"{'':18}{columns}   {cards}"
    for precision, fused in OPTIONS:
        chosen = replace(settings, precision=precision, fused=fused, compile=False)
        name = {"float32": "float32 or tf32"}.get(precision, precision) if not fused else "  with --fused"
        needs = (memory_plan(chosen, sample_rate, number).needed / GIB for number in PROCESSES)
        fitting = (largest_batch(chosen, sample_rate, there * GIB) for there in CARDS.values())
        yield f"{name:18}{''.join(f'{need:8.1f}' for need in needs)}   {''.join(f'{pairs:>9}' for pairs in fitting)}"
