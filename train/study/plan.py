"""The sizes of the study: fixed steps, not seconds, so that a slow machine gets the same scores later."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clmr.errors import ConfigError
from train.kept_plan import keep_plan

ALONE = ("crop", "polarity", "noise", "gain", "filter", "delay", "pitch", "reverb")
"""Rows of the paper's Table 2, each a recipe of train/recipes: one view cropped, the other always with this as well."""


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What is trained, for how long, and with how many labels it is scored."""

    corpus: str
    """Variant of the sharder's data set ``study``."""
    sample_rate: int
    """Hz of the shards."""
    width: int
    """Length of every encoder's representation, the supervised network's too."""
    batch_size: int
    """Pairs in a batch."""
    steps: int
    """Of pretraining with the paper's chain."""
    steps_alone: int
    """Of pretraining with one augmentation, and of the chain that it is compared with."""
    warmup_steps: int
    """Of every pretraining; a cosine follows."""
    learning_rate: float
    """Of pretraining, at its highest."""
    temperature: float
    """Of NT-Xent."""
    calibration_steps: int = 30
    """At learning rate 0: they give an untrained encoder the statistics of its batch norms."""
    seeds: int = 3
    """Of the weights and every draw, for each system."""
    draws: int = 3
    """Of the songs of a share of the labels."""
    percent: tuple[float, ...] = (1.0, 10.0, 100.0)
    """Shares of the training songs that have labels."""
    supervised_percent: tuple[float, ...] = (1.0, 100.0)
    """Those that the supervised network is trained on."""
    supervised_epochs: int = 60
    """Of all labels, at most; fewer labels have more of them, see :meth:`epochs`."""
    supervised_epochs_most: int = 200
    """What few labels have at most."""
    supervised_rate: float = 3e-3
    """Learning rate of the supervised network."""
    supervised_patience: int = 8
    """Epochs of all labels without a gain; fewer labels have more of them, see :meth:`patience`."""
    supervised_patience_most: int = 60
    """What few labels have at most."""
    precision: str = "float32"
    """Of pretraining and of the supervised network."""

    def epochs(self, percent: float) -> int:
        """Of the supervised network, at most."""
        return round(min(self.supervised_epochs * 100 / percent, self.supervised_epochs_most))

    def patience(self, percent: float) -> int:
        """Epochs without gain: the smaller a share, the fewer steps its epochs have."""
        return round(min(self.supervised_patience * 100 / percent, self.supervised_patience_most))


SIZES = {
    "tiny": StudyPlan(
        corpus="tiny",
        sample_rate=8000,
        width=16,
        batch_size=4,
        steps=3,
        steps_alone=2,
        warmup_steps=1,
        learning_rate=3e-3,
        temperature=0.2,
        calibration_steps=1,
        seeds=2,
        draws=2,
        percent=(34.0, 100.0),
        supervised_percent=(34.0, 100.0),
        supervised_epochs=1,
        supervised_epochs_most=2,
    ),
    "cpu": StudyPlan(
        corpus="cpu",
        sample_rate=8000,
        width=64,
        batch_size=48,
        steps=1500,
        steps_alone=500,
        warmup_steps=60,
        learning_rate=3e-3,
        temperature=0.2,
    ),
    "full": StudyPlan(
        corpus="full",
        sample_rate=22050,
        width=512,
        batch_size=96,
        steps=100_000,
        steps_alone=40_000,
        warmup_steps=500,
        learning_rate=3e-4,
        temperature=0.5,
        percent=(1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0),
        supervised_percent=(1.0, 10.0, 100.0),
        supervised_rate=3e-4,
        supervised_patience_most=50,
        precision="bf16",
    ),
}
"""``tiny`` only shows that it runs; ``cpu`` takes less than two hours of two cores; ``full`` is for a GPU."""


def claim(out: Path, plan: StudyPlan, shards: str) -> None:
    """Note plan and shards in ``out``; refuse a folder whose runs were made by others.

    Raises:
        ConfigError: names the folder and the remedy.
    """
    other = f"{out} holds a study of another size or other shards; give another --out, or remove it"
    keep_plan(out, {"plan": asdict(plan), "shards": shards}, other)


def read_plan(out: Path) -> tuple[StudyPlan, str]:
    """The plan and the shards of a study that was begun.

    Raises:
        ConfigError: there is none.
    """
    note = out / "plan.json"
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        given: dict[str, Any] = content["plan"]
        values: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in given.items()}
        return StudyPlan(**values), str(content["shards"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{note} is missing or no plan of a study; run python -m train.study run first") from error
