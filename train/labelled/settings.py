"""What a supervised run was asked for: one frozen dataclass, checked, saved beside the weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from clmr.augment import Chain, Views
from clmr.augment.presets import PRESETS
from clmr.errors import ConfigError, ResumeError
from train.refusals import check_unchanged, refuse, unless_at_least, unless_one_of, unless_rate, unless_seed
from train.settings import PRECISIONS, read_config

TASKS = ("auto", "tags", "classes")
KIND = "supervised"  # in config.json, beside which the runs of train/pretrain.py have none


@dataclass(frozen=True, kw_only=True)
class SupervisedSettings:
    """Settings of train/supervised.py; the paper says no more than dropout and a supervised SampleCNN (Table 1)."""

    shards: str
    """Folder of labelled shards, by path or URL."""
    task: str = "auto"
    """tags (several labels a track: binary cross entropy), classes (one label: cross entropy), or auto: what fits."""
    label_fraction: float = 1.0
    """Share of the songs of the train split that is learnt from, 0 < f <= 1 (section 2.7)."""
    subset_seed: int | None = None
    """Of the songs of a label fraction; None takes ``seed``."""
    sample_rate: int | None = None
    """Hz the shards must have: 22050, 16000 or 8000; None takes what they have."""
    batch_size: int = 48
    """Windows in a GLOBAL batch, over all ranks; >= 2."""
    epochs: int = 200
    """Passes over the windows at most."""
    patience: int = 5
    """Epochs without a better validation score before it stops."""
    width: int = 512
    """Length of the encoder's representation; 512 is the paper's encoder."""
    dropout: float = 0.5
    """Share of the representation that is dropped before the classifier in training."""
    learning_rate: float = 3e-4
    """Of Adam."""
    weight_decay: float = 0.0
    """Of Adam, of every parameter."""
    augment: str = "crop"
    """Preset of clmr.augment or the file of a recipe; crop changes nothing."""
    recipe: str | None = None
    """Text of that recipe; None for a preset."""
    seed: int = 0
    """Of the initial weights and every draw; and of the songs of a label fraction, without a ``subset_seed``."""
    precision: str = "float32"
    """float32, bf16 (autocast) or float64 (for parity checks)."""

    @property
    def songs_seed(self) -> int:
        """What the songs of a label fraction follow from, beside their names."""
        return self.seed if self.subset_seed is None else self.subset_seed

    def __post_init__(self) -> None:
        refuse(
            (
                unless_one_of("--task", self.task, TASKS),
                (not 0 < self.label_fraction <= 1, f"--label-fraction {self.label_fraction}: above 0, at most 1"),
                (self.batch_size < 2, f"--batch-size {self.batch_size}: batch normalisation needs at least 2 windows"),
                unless_at_least("--epochs", self.epochs, 1),
                unless_at_least("--patience", self.patience, 1),
                (not 0 <= self.dropout < 1, f"--dropout {self.dropout}: at least 0, below 1"),
                unless_rate("--learning-rate", self.learning_rate),
                unless_rate("--weight-decay", self.weight_decay),
                unless_seed(self.seed),
                (
                    self.subset_seed is not None and not 0 <= self.subset_seed < 2**63,
                    f"--subset-seed {self.subset_seed}: must be a whole number from 0 to 2^63 - 1",
                ),
                unless_one_of("--precision", self.precision, PRECISIONS),
            )
        )


# A longer run may go on from a shorter one, and shards may move. Recipes are compared by what they do.
FREE_ON_RESUME = {"shards", "sample_rate", "epochs", "patience", "augment", "recipe"}


def read_augment(settings: SupervisedSettings) -> str | None:
    """The text of the recipe that ``augment`` names; None for a preset."""
    if settings.augment in PRESETS:
        return None
    try:
        return Path(settings.augment).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--augment {settings.augment}: neither a preset ({', '.join(PRESETS)}) nor a recipe that can be read "
            f"({getattr(error, 'strerror', None) or 'it is not text'}); see docs/augmentations.md"
        ) from error


def build_chain(settings: SupervisedSettings, sample_rate: int) -> Chain:
    """The chain every training window goes through.

    Raises:
        ConfigError: no chain can be made of the recipe, or it has one for each of two views.
    """
    if settings.recipe is None:
        return Chain.preset(settings.augment, sample_rate)
    views = Views.recipe(settings.recipe, sample_rate, source=settings.augment)
    if not views.same:
        raise ConfigError(f"--augment {settings.augment}: its two views differ, and a window is seen in one; leave one")
    return views.first


def check_resume(run: Path, settings: SupervisedSettings) -> None:
    """Refuse to go on in ``run``, which has checkpoints, with settings that would make other weights.

    Raises:
        ResumeError: names the first setting that differs, both values and the remedy.
    """
    config = read_config(run)
    if config.get("kind") != KIND:
        raise ResumeError(f"{run} is a run of train/{config.get('kind', 'pretrain')}.py: give a new --run")
    check_unchanged(run, config["settings"], settings, FREE_ON_RESUME)
    chain = build_chain(settings, config["sample_rate"])
    if config.get("augment") != json.loads(json.dumps(chain.describe())):
        raise ResumeError(f"{run} was begun with other augmentations: repeat its --augment or give a new --run")
