"""The learning rate as a pure function of the step: linear warm-up, then constant or a cosine's half wave to 0.

Nothing is counted and nothing is saved, so a run that goes on has the rates it would have had.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from clmr.errors import ConfigError
from train.settings import PretrainSettings


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rates of a run of ``total`` steps."""

    peak: float
    """The learning rate after the warm-up."""
    total: int
    """Steps of the run; a cosine ends there."""
    warmup: int = 0
    """Steps of the warm-up, the first ones of ``total``."""
    cosine: bool = False
    """Decay to 0 after the warm-up (Loshchilov and Hutter, 2017, without restarts); else the rate stays."""

    def __post_init__(self) -> None:
        if self.cosine and 0 < self.total <= self.warmup:
            raise ConfigError(
                f"a warm-up of {self.warmup} steps leaves none of the run's {self.total} for the cosine: "
                "lower --warmup-steps or --warmup-epochs, or train longer"
            )

    def __call__(self, step: int) -> float:
        """The learning rate of a step, numbered from 0.

        The first step of a warm-up of W has 1/W of the peak, its last one the peak; so has the first step after it.
        With a cosine step ``total``, which is never done, would have 0.
        """
        if step < self.warmup:
            return self.peak * ((step + 1) / self.warmup)
        if not self.cosine:
            return self.peak
        # peak (1 + cos(pi t)) / 2,   t from 0 at the end of the warm-up to 1 at the end of the run
        t = (min(step, self.total) - self.warmup) / max(1, self.total - self.warmup)
        return self.peak * 0.5 * (1 + math.cos(math.pi * t))


def build_schedule(settings: PretrainSettings, total: int, steps_per_epoch: int) -> Schedule:
    """The schedule that the settings ask for.

    Raises:
        ConfigError: the warm-up leaves no step to a cosine.
    """
    return Schedule(
        peak=settings.learning_rate,
        total=total,
        warmup=settings.warmup_steps or settings.warmup_epochs * steps_per_epoch,
        cosine=settings.schedule == "cosine",
    )
