"""The parts of the check, in order, and how much of the time each may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from benchmarks.gpu.check import Check


@dataclass(frozen=True)
class Part:
    """Checks or measurements that run in one process."""

    name: str
    module: str
    """Under ``benchmarks.gpu``; has a list CHECKS. Imports nothing at its top but torch and the checks' own files."""

    share: float
    """Of the time. What a part leaves over goes to those after it."""

    about: str

    def checks(self) -> Sequence[Check]:
        """Its checks, in order."""
        found: Sequence[Check] = import_module(f"benchmarks.gpu.{self.module}").CHECKS
        return found


PARTS = (
    Part("environment", "environment", 20, "what the figures depend on"),
    Part("kernels", "kernels", 60, "Triton kernels against plain PyTorch in float64"),
    Part("augmentations", "augmentations", 45, "effects and chains against the CPU"),
    Part("model", "model", 45, "loss, batch norm and gradients against the CPU in float64"),
    Part("precision", "precision", 90, "bfloat16, TF32, fused and compiled"),
    Part("loader", "loading", 35, "batches against the CPU's"),
    Part("trainer", "training", 50, "Trainer.step, memory and checkpoints"),
    Part("nccl", "nccl", 45, "gradients of several processes"),
    Part("speed of a step", "speed_steps", 140, "views per second against the roofline"),
    Part("speed of the augmentations", "speed_augment", 40, "views per second, and the share of a step"),
    Part("speed of a run", "speed_trainer", 50, "trainer and loader together"),
)


def part_named(name: str) -> Part:
    """The part of that name."""
    return next(part for part in PARTS if part.name == name)
