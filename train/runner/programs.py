"""What a command line of a training program comes to: its settings, without starting it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from clmr.errors import ConfigError
from train import cpc, pretrain, supervised
from train.augment_choice import with_recipe
from train.cpc_settings import CpcSettings
from train.labelled.settings import SupervisedSettings, read_augment
from train.recipe import find_recipe, with_options
from train.settings import PretrainSettings

PROGRAMS = {"pretrain.py": pretrain.main, "cpc.py": cpc.main, "supervised.py": supervised.main}

WITHOUT_EFFECT = {
    *("shards", "backend", "access", "window", "cache", "cache_size", "depth", "compile", "fused"),
    "recipe",  # the chain's text; the views that it makes are compared by their description
}
"""Settings that may differ from a recipe's and still give its row: where data lies and how it is brought."""


def parse(script: str, arguments: Sequence[str]) -> click.Context:
    """The options of a command line, checked by the program that would run.

    Raises:
        ConfigError: an option is unknown or its value is none of its kind.
    """
    try:
        return PROGRAMS[script].make_context(f"train/{script}", list(arguments))
    except click.UsageError as error:
        raise ConfigError(f"train/{script}: {error.format_message()}") from error
    except click.exceptions.Exit as error:
        raise ConfigError(f"train/{script}: {' '.join(arguments)} asks for no training; leave --help out") from error


def settings_of(script: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The settings as the run's config.json would have them.

    Raises:
        ConfigError: as the program itself.
    """
    context = parse(script, arguments)
    values, run = dict(context.params), Path(context.params["run"])
    if script != "supervised.py":
        values["shards"] = values["shards"] + values.pop("more_shards")
    settings: PretrainSettings | CpcSettings | SupervisedSettings
    if script == "pretrain.py":
        recipe = find_recipe(values["recipe_name"], run) if values["recipe_name"] is not None else None
        asked = {field.name: values[field.name] for field in fields(PretrainSettings) if field.name in values}
        given = {name for name in asked if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
        settings = with_recipe(with_options(recipe, asked, given), run)
    elif script == "cpc.py":
        settings = CpcSettings(**{field.name: values[field.name] for field in fields(CpcSettings)})
    else:
        asked = {field.name: values[field.name] for field in fields(SupervisedSettings) if field.name in values}
        settings = SupervisedSettings(**asked)
        settings = replace(settings, recipe=read_augment(settings))
    plain = json.loads(json.dumps(asdict(settings)))
    assert isinstance(plain, dict)
    return plain


def differences(settings: dict[str, Any], planned: dict[str, Any]) -> list[str]:
    """What makes a run another than the one planned, such as ``steps 200``; empty when it is the same.

    Args:
        settings: of the run.
        planned: of the recipe.
    """
    names = [name for name in planned if name not in WITHOUT_EFFECT and settings.get(name) != planned[name]]
    # Of epochs and steps one is None where the other is given: it says nothing.
    return [
        f"{name.replace('_', ' ')} {_text(settings.get(name))}"
        for name in names
        if name not in {"epochs", "steps"} or settings.get(name) is not None
    ]


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
