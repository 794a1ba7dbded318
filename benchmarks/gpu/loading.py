"""The loader's batches on the device against those on the CPU, for consumers that would show a race."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.check import Check, Figures, NotCheckedError, Target, WrongError
from benchmarks.gpu.compare import equal
from benchmarks.gpu.shards import made_shards

CYCLES = 30_000_000  # some 15 ms of a GPU that does nothing
Consumer = Callable[[Target, Tensor, int], Tensor]
"""Takes a batch and its number, and returns what is to be compared."""


@contextmanager
def _shards(target: Target) -> Iterator[Path]:
    if target.quick:
        with made_shards(20, 21_500, 8000) as root:
            yield root
    else:
        with made_shards(256, 132_300, 22050) as root:
            yield root


def _options(target: Target) -> dict[str, Any]:
    return {"batch_size": 4 if target.quick else 32, "seed": 3}


def _steps(target: Target) -> int:
    return 9 if target.quick else 60


def _wanted(root: Path, target: Target) -> list[Tensor]:
    """The CPU's batches."""
    from loaders import PairLoader
    from loaders.saturation.measure import endless

    with PairLoader(root, backend="torch", **_options(target)) as loader:
        batches = endless(loader)
        return [next(batches).pcm.clone() for _ in range(_steps(target))]


def _found(root: Path, target: Target, consume: Consumer, **options: Any) -> list[Tensor]:
    """What a consumer on the device makes of a loader's."""
    from clmr.errors import ConfigError
    from loaders import PairLoader
    from loaders.saturation.measure import endless

    try:
        loader = PairLoader(root, device=target.device, **_options(target), **options)
    except ConfigError as error:
        if options.get("backend") == "dali" and "cannot be loaded" in str(error):
            raise NotCheckedError(str(error)) from error
        raise
    with loader:
        batches, kept = endless(loader), []
        for number in range(_steps(target)):
            pcm = next(batches).pcm
            shape = pcm.shape
            kept.append(consume(target, pcm, number))
            # What the consumer freed is taken for something else at once, in its stream: no copy may still write there.
            del pcm
            torch.empty(shape, dtype=torch.int16, device=target.device).fill_(-1)
        target.wait()
        return kept


def fast(target: Target, pcm: Tensor, number: int) -> Tensor:
    """Done with a batch at once."""
    return pcm.clone()


def slow(target: Target, pcm: Tensor, number: int) -> Tensor:
    """A device far behind its host: the loader is asked for the next batches long before this one is read."""
    if target.on_gpu:
        torch.cuda._sleep(CYCLES)
    return pcm.clone()


def uneven(target: Target, pcm: Tensor, number: int) -> Tensor:
    """Now fast, now slow, and now and then waited for."""
    if target.on_gpu and number % 7 == 3:
        torch.cuda._sleep(4 * CYCLES)
    if number % 11 == 5:
        target.wait()
    return pcm.clone()


def keeping(target: Target, pcm: Tensor, number: int) -> Tensor:
    """Every batch is kept: none of them may be written over."""
    return pcm


def overwriting(target: Target, pcm: Tensor, number: int) -> Tensor:
    """A batch is the consumer's own: writing into it, late, must not reach another."""
    copied = slow(target, pcm, number)
    pcm.fill_(number)
    return copied


CONSUMERS: tuple[Consumer, ...] = (fast, slow, uneven, keeping, overwriting)


def batches(target: Target, backend: str) -> Figures:
    """A backend's batches on the device, to the bit, for every kind of consumer, in the default and another stream."""
    if backend == "dali":
        import nvidia.dali  # noqa: F401  # named as missing where it is
    count = 0
    with _shards(target) as root:
        wanted = _wanted(root, target)
        for consume in CONSUMERS:
            streams = [None, torch.cuda.Stream(target.device)] if target.on_gpu else [None]
            for stream in streams:
                with torch.cuda.stream(stream):
                    got = _found(root, target, consume, backend=backend)
                for number, (here, there) in enumerate(zip(got, wanted, strict=True)):
                    if here.device.type != target.device.type:
                        raise WrongError(f"a batch is on {here.device}, not on {target.device}")
                    where = " in a stream of its own" if stream is not None else ""
                    equal(f"batch {number} of a consumer that is {consume.__name__}{where}", here, there)
                    count += 1
    return {"batches": count, "pairs_a_batch": len(wanted[0]), "consumers": [each.__name__ for each in CONSUMERS]}


def windows(target: Target) -> Figures:
    """What feature extraction reads."""
    from loaders import WindowLoader

    with _shards(target) as root:
        found = {}
        for device in ("cpu", target.device):
            with WindowLoader(root, batch_size=_options(target)["batch_size"], device=device) as loader:
                found[str(device)] = [(batch.pcm.clone(), batch.position.clone()) for batch in loader]
        here, there = found[str(target.device)], found["cpu"]
        for number, ((pcm, position), (wanted, positions)) in enumerate(zip(here, there, strict=True)):
            equal(f"windows of batch {number}", pcm, wanted)
            equal(f"positions of batch {number}", position, positions)
    return {"batches": len(here)}


def resume(target: Target) -> Figures:
    """A loader put back while copies are under way gives the batches that follow from there."""
    from loaders import PairLoader
    from loaders.saturation.measure import endless

    with _shards(target) as root:
        wanted = _wanted(root, target)
        with PairLoader(root, device=target.device, backend="torch", **_options(target)) as loader:
            source, half = endless(loader), _steps(target) // 2
            for number in range(half):
                slow(target, next(source).pcm, number)
            state = loader.state_dict()
            for number in range(3):
                slow(target, next(source).pcm, number)
            loader.load_state_dict(state)
            source = endless(loader)
            got = [slow(target, next(source).pcm, number) for number in range(len(wanted) - half)]
            target.wait()
        for number, (here, there) in enumerate(zip(got, wanted[half:], strict=True)):
            equal(f"batch {half + number} after going back", here, there)
    return {"batches": len(got)}


def gather_beyond(target: Target) -> Figures:
    """Resident crops that lie beyond sample 2^31: MTAT has 17 thousand million."""
    target.need_gpu("it takes 4.5 GB of memory")
    from loaders.resident.backend import gather

    total, frames = 2**31 + 2**22, 59049
    target.need_bytes(2 * total + 1e9)
    flat = torch.zeros(total, dtype=torch.int16, device=target.device)
    first = [0, 12345, 2**31 - frames // 2, 2**31 + 1, total - frames]
    for number, begin in enumerate(first):
        # Crops here do not overlap; each is told by its samples.
        flat[begin : begin + frames] = torch.arange(frames, device=target.device).add_(number).to(torch.int16)
    got = gather(flat, torch.tensor(first).pin_memory(), frames)
    for number, begin in enumerate(first):
        if not torch.equal(got[number], flat[begin : begin + frames]):
            raise WrongError(f"the crop from sample {begin} on is not what lies there")
    return {"samples": total, "crops": len(first)}


CHECKS = (
    Check(
        "torch backend", "pinned slabs and the copying stream race with no consumer", partial(batches, backend="torch")
    ),
    Check("resident backend", "gathered crops are the CPU's", partial(batches, backend="resident")),
    Check("dali backend", "the DALI pipeline's batches are the CPU's", partial(batches, backend="dali")),
    Check("windows", "feature extraction reads what the CPU reads", windows),
    Check("going back", "a resumed loader gives the same batches", resume),
    Check("resident beyond sample 2^31", "no index of a large corpus overflows", gather_beyond),
)
