"""From names and patterns to trainings, each once: several rows of the paper are the same training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from clmr.augment import Chain, Views
from clmr.augment.nearest import nearest
from clmr.errors import ConfigError
from train.augment_choice import build_views
from train.recipe import RECIPES, TrainingRecipe, read_training_recipe, with_options
from train.runner.baselines import BASELINES
from train.runner.tables import IN_ORDER, TABLES
from train.runner.training import Training


def effective_views(views: Views) -> Views:
    """The views without operations of probability 0, which never touch a crop."""

    def lasting(chain: Chain) -> Chain:
        return Chain([each for each in chain.operations if each.probability > 0], chain.sample_rate)

    return Views(lasting(views.first), lasting(views.second))


def identity(recipe: TrainingRecipe) -> str:
    """The same for two recipes exactly when every setting is and their views do the same."""
    settings = with_options(recipe, {}, ())
    views = effective_views(build_views(settings, settings.sample_rate or 22050)).describe()
    return json.dumps([asdict(replace(settings, augment="crop", recipe=None, probability=())), views], sort_keys=True)


@cache
def same_trainings() -> dict[str, str]:
    """Every recipe of train/recipes and the one trained in its place: itself, or an earlier one of the paper."""
    ours = {path.stem for path in RECIPES.glob("*.toml")}
    ordered = [name for name in IN_ORDER if name in ours] + sorted(ours - set(IN_ORDER))
    first: dict[str, str] = {}
    return {name: first.setdefault(identity(read_training_recipe(name)), name) for name in ordered}


def probed_on(recipe: TrainingRecipe) -> tuple[str | None, ...]:
    """The data sets that [paper] of a recipe names; without any, those it was trained on."""
    paper = recipe.paper or {}
    entries = [entry for entry in (paper, *paper.get("also", ())) if "evaluated_on" in entry]
    return tuple(entry["evaluated_on"].lower() for entry in entries) or (None,)


def training_of(name: str) -> Training:
    """A recipe by the name that ``--recipe`` takes, or a training of train/runner/baselines.py.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    if name in BASELINES:
        return BASELINES[name]
    if name.endswith(".toml"):
        same = [name]
    else:
        same = [each for each, first in same_trainings().items() if first == same_trainings().get(name, name)]
        if not same:
            raise ConfigError(f"{name}: no such recipe; {nearest(name, [*same_trainings(), *BASELINES])}")
    recipes = [read_training_recipe(each) for each in same]
    return Training(
        name=Path(name).stem if name.endswith(".toml") else same[0],
        program="pretrain",
        arguments=("--recipe", same[0]),
        shards=with_options(recipes[0], {}, ()).shards,
        probed_on=tuple(dict.fromkeys(dataset for recipe in recipes for dataset in probed_on(recipe))),
        cost=(recipes[0].paper or {}).get("cost", {}),
        also=tuple(same[1:]),
        note=(recipes[0].paper or {}).get("note"),
    )


def choose(patterns: Sequence[str]) -> list[Training]:
    """The trainings that names, patterns such as ``table2-*`` and tables such as ``Table 2`` stand for, each once.

    Raises:
        ConfigError: a pattern fits nothing, or two files of the user's own would share a folder.
    """
    known = [*same_trainings(), *BASELINES]
    chosen: list[str] = []
    for pattern in patterns:
        if pattern.endswith(".toml"):
            chosen.append(pattern)
            continue
        tables = [table for name, table in TABLES.items() if fnmatchcase(name.lower(), pattern.lower())]
        if tables and pattern not in known:
            chosen += [row.training for table in tables for row in table.rows if row.training is not None]
            continue
        fitting = [name for name in (*IN_ORDER, *known) if name in known and fnmatchcase(name, pattern)]
        if not fitting:
            near = nearest(pattern, [*TABLES, *known])
            listed = near.startswith("allowed")  # sixty names help nobody
            hint = f"the tables are {', '.join(TABLES)}, the recipes stand in docs/recipes.md" if listed else near
            raise ConfigError(f"{pattern}: no recipe or table has such a name; {hint}")
        chosen += fitting
    found: dict[str, Training] = {}
    for name in dict.fromkeys(chosen):
        training = training_of(name)
        if found.setdefault(training.name, training) != training:
            raise ConfigError(f"{name}: another recipe of the plan is called {training.name} too; rename the file")
    return list(found.values())
