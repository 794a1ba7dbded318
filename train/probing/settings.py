"""What a probe is: the choices of train/probe.py, and three presets of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from clmr.errors import ConfigError
from train.probing.head import HeadSettings

PENALTIES = (1.0, 0.3, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """Everything that decides a probe's scores beside the features and the seed; the defaults are the paper's."""

    preset: str = "paper"
    """Where the settings began."""
    solver: Literal["adam", "lbfgs"] = "adam"
    """Steps of Adam stopped by the validation split, or the minimum of a convex function (linear_fit.py)."""
    head: HeadSettings = field(default_factory=HeadSettings)
    """Of Adam's head; ``lbfgs`` has a linear one and takes nothing of this but its kind."""
    penalties: tuple[float, ...] = PENALTIES
    """L2 strengths ``lbfgs`` chooses from by the validation score, strong to weak."""
    stop_by: Literal["score", "loss"] = "score"
    """What the validation split is asked: the mean of tag-wise ROC-AUC and PR-AUC of its tracks, or the cross-entropy
    of its windows."""
    standardise: bool = True
    """Features have mean 0 and deviation 1 on the training windows."""
    one_window: bool = False
    """One window drawn from each track for training and validation, instead of all."""
    last_window: Literal["keep", "official"] = "keep"
    """``official`` leaves out the last window of a track whose length is a whole number of windows, in validation and
    test: the authors' code drops the last piece of a track, which otherwise is the incomplete one no dump holds."""
    aggregation: Literal["probability", "logit", "feature"] = "probability"
    """What is averaged over a track's windows; with ``feature`` before training already."""
    task: Literal["auto", "tags", "classes"] = "auto"
    """``auto`` is classes where every track of train and valid has exactly one label."""
    untagged: Literal["keep", "drop"] = "keep"
    """Tracks without a label, in all three splits."""
    label_fraction: float = 1.0
    """Of the training split's songs, see :func:`train.probing.subsets.nested_subset`."""
    subset_seed: int = 0
    """Decides which songs."""

    def __post_init__(self) -> None:
        if self.solver == "lbfgs" and self.head.kind != "linear":
            raise ConfigError(f"--head {self.head.kind}: the fast preset fits a linear head; use --preset paper")
        if self.one_window and self.aggregation == "feature":
            raise ConfigError("--aggregation feature averages windows, and --preset official trains on one of a track")
        if not 0 < self.label_fraction <= 1:
            raise ConfigError(f"--label-fraction {self.label_fraction:g}: give a share above 0 and at most 1")

    @property
    def draws(self) -> bool:
        """Whether a seed changes anything."""
        return self.solver == "adam"


PRESETS = {
    "paper": ProbeSettings(),
    "official": ProbeSettings(
        preset="official",
        head=HeadSettings(
            learning_rate=1e-3, batch_size=48, patience=10, max_epochs=200, decay_patience=5, keep="last"
        ),
        stop_by="loss",
        standardise=False,
        one_window=True,
        last_window="official",
    ),
    "fast": ProbeSettings(preset="fast", solver="lbfgs"),
}
"""``paper``: sections 2.6 and 2.9. ``official``: the authors' code, version 2. ``fast``: one minimum, no seeds."""
