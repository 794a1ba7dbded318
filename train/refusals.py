"""What the settings of every training program have to hold, and what may not change when a run goes on."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clmr.errors import ConfigError, ResumeError
from sharding.format import SPLITS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Refusal = tuple[bool, str]
"""Whether a setting is refused, and the message if so."""


def refuse(refusals: Iterable[Refusal]) -> None:
    """Raise the first that holds.

    Raises:
        ConfigError: with its message.
    """
    for refused, reason in refusals:
        if refused:
            raise ConfigError(reason)


def unless_rate(option: str, value: float) -> Refusal:
    """A learning rate or a weight decay: finite, from 0 up."""
    return not 0 <= value < float("inf"), f"{option} {value}: must be a number from 0 up"


def unless_seed(value: int) -> Refusal:
    """What the counter-based generator takes."""
    return not 0 <= value < 2**63, f"--seed {value}: must be a whole number from 0 to 2^63 - 1"


def unless_one_of(option: str, value: str, allowed: Sequence[str]) -> Refusal:
    """One of a few names."""
    return value not in allowed, f"{option} {value}: one of {', '.join(allowed)}"


def unless_at_least(option: str, value: int, least: int) -> Refusal:
    """A count."""
    return value < least, f"{option} {value}: at least {least}"


def unless_length(epochs: int | None, steps: int | None) -> tuple[Refusal, Refusal]:
    """Epochs or steps, one of the two, from 0 up."""
    return (
        ((epochs is None) == (steps is None), "give --epochs or --steps, one of the two"),
        (min(epochs or 0, steps or 0) < 0, "--epochs and --steps are at least 0"),
    )


def unless_splits(splits: Sequence[str]) -> Refusal:
    """One or more of the three, each once."""
    wrong = not splits or not set(splits) <= set(SPLITS) or len(set(splits)) < len(splits)
    return wrong, f"--split {' '.join(splits) or 'of nothing'}: one or more of {', '.join(SPLITS)}, each once"


def check_unchanged(run: Path, saved: Mapping[str, Any], settings: DataclassInstance, free: Collection[str]) -> None:
    """Compare the settings a run was begun with and those it is to go on with.

    Args:
        run: folder of the run.
        saved: ``settings`` of its config.json; one that is missing had its default.
        settings: those of now.
        free: names that may differ.

    Raises:
        ResumeError: names the first setting that differs, both values and the remedy.
    """
    now = json.loads(json.dumps(asdict(settings)))
    for field in fields(settings):
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        before = saved.get(field.name, default)
        if field.name not in free and before != now[field.name]:
            raise ResumeError(
                f"{run} was begun with {field.name} = {before}, not {now[field.name]}: "
                "repeat that setting or give a new --run"
            )
