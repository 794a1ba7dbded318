"""One line where memory runs out: what was asked for, and which options need less."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from clmr.errors import ConfigError
from train.memory.plan import GIB, device_memory, memory_plan
from train.ranks.launch import Place
from train.settings import PretrainSettings

# CUDA's allocator; the CPU's; cuBLAS and cuDNN, which allocate for themselves; CUDA where it is asked directly.
RAN_OUT = re.compile(r"out of memory|can't allocate memory|ALLOC_FAILED", re.IGNORECASE)
ASKED = re.compile(r"(?:[Tt]ried|[Uu]nable) to allocate ([\d.]+) (\w+)")


@contextmanager
def options_that_help(settings: PretrainSettings, sample_rate: int | None, place: Place) -> Iterator[None]:
    """Turn running out of memory into a mistake the user can mend, on whichever rank it happens.

    Args:
        settings: of the run.
        sample_rate: of its shards, Hz; None where it is not known yet, and nor is what the run needs.
        place: of this process.

    Raises:
        ConfigError: memory ran out inside; other errors pass.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not isinstance(error, MemoryError) and not RAN_OUT.search(str(error)):
            raise
        raise ConfigError(_message(error, settings, sample_rate, place)) from error


def _message(error: Exception, settings: PretrainSettings, sample_rate: int | None, place: Place) -> str:
    asked = ASKED.search(str(error))
    what = f" when {_readable(*asked.groups())} more were asked for" if asked else ""
    needs = ""
    if sample_rate is not None:
        needed = memory_plan(settings, sample_rate, place.world_size).needed
        needs = f" needs about {needed / GIB:.1f} GiB each"
    name, there = device_memory(place.device)
    return (
        f"rank {place.rank} ran out of memory on {place.device}{what}: --batch-size {settings.batch_size} over "
        f"{place.world_size} process(es){needs}, {name} is {there / GIB:.1f} GiB; {helping(settings, place)}; "
        "the same command with --memory-plan says what each would need"
    )


def helping(settings: PretrainSettings, place: Place) -> str:
    """The options that need less memory and are not in use, in the order they are worth trying."""
    options = []
    if settings.precision in {"float32", "tf32"}:
        options.append("--precision bf16")
    if not settings.fused:
        options.append("--fused instead of --compile" if settings.compile else "--fused")
    if place.device.type == "cuda":  # processes on a CPU share one memory
        options.append("more processes")
    return f"try {', '.join([*options, 'a smaller --batch-size'])}"


def _readable(number: str, unit: str) -> str:
    """``2.50 GiB`` as it is, and bytes in GiB."""
    return f"{int(number) / GIB:.2f} GiB" if unit == "bytes" else f"{number} {unit}"
