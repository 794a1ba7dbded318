"""What ``--augment`` and ``--probability`` come to: the views of a run, the same whenever it goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from clmr.augment import Views, table_rows
from clmr.augment.presets import PRESETS
from clmr.errors import ConfigError, ResumeError
from loaders import Batch
from sharding.publish import publish
from train.runs.checkpoint import checkpoints
from train.settings import PretrainSettings, read_pretraining

GUIDE = "docs/augmentations.md"
SAMPLE = "augment.jsonl"  # in the run's folder: what the first batch's views were made with


def parse_probabilities(options: Sequence[str]) -> dict[str, float]:
    """``("pitch=0.8", "reverb=0")`` as numbers by name."""
    probabilities: dict[str, float] = {}
    for option in options:
        name, _, value = option.partition("=")
        try:
            probability = float(value)
        except ValueError:
            raise ConfigError(f"--probability {option}: write NAME=NUMBER, such as pitch=0.8") from None
        if name in probabilities:
            raise ConfigError(f"--probability {option}: {name} is given twice")
        probabilities[name] = probability
    return probabilities


def build_views(settings: PretrainSettings, sample_rate: int) -> Views:
    """The views of a run whose recipe, if it has one, has been read (:func:`with_recipe`)."""
    if settings.recipe is not None:
        views = Views.recipe(settings.recipe, sample_rate, source=settings.augment)
    else:
        views = Views.preset(settings.augment, sample_rate)
    return views.with_probability(parse_probabilities(settings.probability))


def with_recipe(settings: PretrainSettings, run: Path) -> PretrainSettings:
    """The settings with the text of the recipe that ``augment`` names.

    A run that goes on needs the file no longer: its config.json holds the text.

    Raises:
        ConfigError: it is neither a preset nor a file, or no views can be made of it.
        ResumeError: the run has checkpoints, and was begun with other views.
    """
    config = read_pretraining(run) if checkpoints(run) else None
    if settings.recipe is None and settings.augment not in PRESETS:  # a training recipe brings the chain's text along
        settings = replace(settings, recipe=_recipe_text(settings.augment, config["settings"] if config else {}))
    if config is None:
        build_views(settings, sample_rate=22050)  # mistakes show before any shard is opened
    else:
        _check_same(run, config.get("augment", {}), build_views(settings, config["sample_rate"]))
    return settings


def _recipe_text(name: str, saved: dict[str, Any]) -> str:
    """What stands in the file, or stood in it when the run of the ``saved`` settings was begun."""
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        if saved.get("augment") == name and isinstance(saved.get("recipe"), str):
            return str(saved["recipe"])
        raise ConfigError(
            f"--augment {name}: neither a preset ({', '.join(PRESETS)}) nor a file that exists; see {GUIDE}"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"--augment {name}: the file is not text; a recipe is TOML, see {GUIDE}") from None


def _check_same(run: Path, saved: dict[str, Any], views: Views) -> None:
    """Refuse to go on with views that are not those the run was begun with; what counts is what they do."""
    now = json.loads(json.dumps(views.describe()))
    for view in ("first", "second"):
        one, other = (_values(description.get(view, description)) for description in (saved, now))
        prefix = f"{view}." if view in saved or view in now else ""
        for name in [*one, *other]:
            if one.get(name) != other.get(name):
                raise ResumeError(
                    f"{run} was begun with the augmentation {prefix}{name} = {one.get(name)}, not {other.get(name)}: "
                    "repeat its --augment and --probability or give a new --run"
                )


def _values(description: dict[str, Any]) -> dict[str, Any]:
    """The values of a description of a chain by their names, such as ``pitch.probability``."""
    operations = description.get("operations", [])
    values: dict[str, Any] = {"order": [operation["name"] for operation in operations]}
    for operation in operations:
        values |= {f"{operation['name']}.{field}": value for field, value in operation.items()}
    return values


def log_draws(run: Path, views: Views, batch: Batch) -> None:
    """Write the parameters of every view of one batch, a line each, beside its track and view.

    :func:`clmr.augment.load_table` reads them, where both views go through the same chain.

    Args:
        run: the run's folder; ``augment.jsonl`` is written there.
        views: drawn from again: the same keys give the same parameters.
        batch: this rank's rows.
    """
    with publish(run / SAMPLE) as path, path.open("w", encoding="utf-8") as file:
        for view, table in enumerate(views.draw(batch.keys)):
            rows = table_rows(table) or [{}] * len(batch.keys)
            for track, row in zip(batch.track.tolist(), rows, strict=True):
                file.write(json.dumps({"track": track, "view": view, **row}) + "\n")
