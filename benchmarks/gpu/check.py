"""What a check is, how one is run, and what comes of it."""

from __future__ import annotations

import gc
import math
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch

PASSED, FAILED, NOT_CHECKED, CUT_OFF = "passed", "failed", "not checked", "cut off"
OWN = (
    "benchmarks",
    "clmr",
    "loaders",
    "sharding",
    "train",
)  # packages of this project: one that is missing is a defect

Figures = Mapping[str, Any]
"""What a check found, ready for JSON."""


class NotCheckedError(Exception):
    """It cannot be checked here; the message says why."""


class WrongError(Exception):
    """The device computes something else than it should; the message says what, and by how much."""


@dataclass(frozen=True)
class Target:
    """What is checked, and how thoroughly."""

    device: torch.device
    quick: bool = False
    """Small networks and short rows: the checks' own check, on a CPU."""

    until: float = math.inf
    """When the part has to be done, by ``time.monotonic()``."""

    @property
    def on_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.device.type == "cuda"

    @property
    def left(self) -> float:
        """Seconds that the part has left."""
        return self.until - time.monotonic()

    def need_gpu(self, why: str) -> None:
        """Leave the check out where there is none."""
        if not self.on_gpu:
            raise NotCheckedError(f"{why}; the device is {self.device}")

    def need_time(self, seconds: float) -> None:
        """Leave the check out where its part has less left."""
        if self.left < seconds:
            raise NotCheckedError(f"left out: {max(0.0, self.left):.0f} s are left of this part's time")

    def need_triton(self) -> None:
        """Leave the check out where kernels cannot run: on a GPU, or anywhere in Triton's interpreter."""
        if not self.on_gpu and os.environ.get("TRITON_INTERPRET") != "1":
            raise NotCheckedError("Triton kernels run on a GPU, or with TRITON_INTERPRET=1 in its interpreter")

    def need_bytes(self, needed: float) -> None:
        """Leave the check out where a GPU has less memory free."""
        if self.on_gpu and (free := torch.cuda.mem_get_info(self.device)[0]) < needed:
            raise NotCheckedError(f"it needs {needed / 1e9:.1f} GB of the GPU's memory, {free / 1e9:.1f} GB are free")

    def wait(self) -> None:
        """Until the device has done all it was given."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class Check:
    """One thing to be shown."""

    name: str
    proves: str
    """What holds if it passes."""

    function: Callable[[Target], Figures]
    """Raises :class:`WrongError` or anything else where it does not hold, :class:`NotCheckedError` where it cannot be
    told."""


@dataclass(frozen=True)
class Outcome:
    """What came of a check."""

    part: str
    name: str
    proves: str
    state: str
    reason: str = ""
    """Why it failed or was not checked, one line."""

    figures: Figures = field(default_factory=dict)
    seconds: float = 0.0
    trace: str = ""
    """Of a failure."""


def one_line(error: BaseException) -> str:
    """An error for a table: its type and the first line of what it says."""
    if isinstance(error, WrongError):
        return " ".join(str(error).split())
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


def run(part: str, check: Check, target: Target) -> Outcome:
    """Run one check; whatever goes wrong in it is its outcome."""
    begin = time.monotonic()

    def outcome(state: str, **found: Any) -> Outcome:
        return Outcome(part, check.name, check.proves, state, seconds=time.monotonic() - begin, **found)

    try:
        figures = check.function(target)
        target.wait()  # what a kernel did wrong shows at the latest now, and belongs to this check
    except NotCheckedError as error:
        return outcome(NOT_CHECKED, reason=str(error))
    except ModuleNotFoundError as error:
        package = error.name or ""
        if package.split(".")[0] in OWN:
            return outcome(FAILED, reason=one_line(error), trace=traceback.format_exc())
        return outcome(NOT_CHECKED, reason=f"the Python package {package} is not installed")
    except Exception as error:
        return outcome(FAILED, reason=one_line(error), trace=traceback.format_exc())
    finally:
        _tidy(target)
    return outcome(PASSED, figures=figures)


def _tidy(target: Target) -> None:
    """Leave the device to the next check."""
    if not target.on_gpu:
        return
    gc.collect()  # an error holds the frames it came through, and their tensors
    with suppress(RuntimeError):  # of a context that the check broke: the next one will say so
        torch.cuda.set_sync_debug_mode("default")
        torch.cuda.empty_cache()


def run_all(part: str, checks: Sequence[Check], target: Target) -> Iterator[tuple[Check, Outcome | None]]:
    """Every check twice: before it runs, without an outcome, and after."""
    for check in checks:
        yield check, None
        yield check, run(part, check, target)


@contextmanager
def waiting_refused(target: Target) -> Iterator[None]:
    """Inside of it torch raises where the host would wait for the GPU."""
    target.wait()
    if target.on_gpu:
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if target.on_gpu:
            torch.cuda.set_sync_debug_mode("default")
