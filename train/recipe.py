"""A training run written down: a TOML file of settings, an [augment] table and what the paper says of the run.

    base = "mtat.toml"              # starts from another recipe of the same folder
    epochs = 1000                   # any setting of PretrainSettings, by its name
    [augment]                       # the chain, in the words of clmr/augment/recipe.py; or augment = "crop", a preset
    preset = "paper"
    [paper]                         # documents the run and decides nothing
    table = "Table 5"

A value takes the place of the base's, and options of the command line take the place of both, with three rules more:
of ``epochs`` and ``steps``, and of the two warm-ups, the one given last counts; another chain drops the probabilities
that went with the old one; ``probability`` changes the augmentations it names and leaves the others. [paper] belongs to
one file and is not handed on.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Container, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from clmr.augment.fields import convert
from clmr.augment.nearest import nearest
from clmr.augment.presets import PRESETS
from clmr.errors import ConfigError
from train.runs.checkpoint import checkpoints
from train.settings import PretrainSettings, read_pretraining

RECIPES = Path(__file__).parent / "recipes"
FIELDS = {name: kind for name, kind in get_type_hints(PretrainSettings).items() if name != "recipe"}
PAPER = ("table", "row", "evaluated_on", "expected", "also", "cost", "note")
PAIRS = (("epochs", "steps"), ("warmup_epochs", "warmup_steps"))
ALTERNATIVES = {name: other for pair in PAIRS for name, other in (pair, pair[::-1])}


@dataclass(frozen=True)
class TrainingRecipe:
    """What a file and its bases say."""

    name: str
    """As it was asked for."""
    settings: dict[str, Any]
    """Fields of PretrainSettings with their values; others have their defaults."""
    paper: dict[str, Any] | None
    """The table [paper], as it stands."""

    def record(self, settings: PretrainSettings) -> dict[str, Any]:
        """What ``config.json`` keeps of the recipe of a run with these settings; ``overridden`` lists what differs."""
        defaults = {field.name: field.default for field in fields(settings)}
        planned = {**defaults, **self.settings}
        overridden = [name for name, value in asdict(settings).items() if planned[name] not in {value, MISSING}]
        return {**asdict(self), "overridden": overridden}


def read_training_recipe(name: str) -> TrainingRecipe:
    """Read a recipe and those it starts from.

    Args:
        name: a path that ends in ``.toml``, or the name of a file of train/recipes without that ending.

    Raises:
        ConfigError: there is no such file, or it holds what is no recipe; names the file and the key.
    """
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if not path.is_file():
        ours = sorted(each.stem for each in RECIPES.glob("*.toml"))
        raise ConfigError(f"--recipe {name}: no such file, nor one of train/recipes; {nearest(path.stem, ours)}")
    settings, paper = _read(path, ())
    return TrainingRecipe(name, settings, paper)


def find_recipe(name: str, run: Path) -> TrainingRecipe:
    """The recipe; a run that goes on needs its file no longer, because its config.json holds what it said.

    Raises:
        ConfigError: as :func:`read_training_recipe`, and the run was not begun with a recipe of that name.
    """
    try:
        return read_training_recipe(name)
    except ConfigError:
        saved = (read_pretraining(run).get("recipe") if checkpoints(run) else None) or {}
        if saved.get("name") != name or Path(name).exists() or (RECIPES / f"{name}.toml").exists():
            raise
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in saved["settings"].items()}
    return TrainingRecipe(name, values, saved["paper"])


def laid_over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of ``base`` with ``changes``, by the rules at the top of this file."""
    dropped = {ALTERNATIVES[name] for name in changes if name in ALTERNATIVES}
    if "augment" in changes:
        dropped |= {"probability", "recipe"}
    values = {**{name: value for name, value in base.items() if name not in dropped}, **changes}
    if "probability" in changes and "probability" not in dropped:
        named = {each.partition("=")[0] for each in changes["probability"]}
        kept = [each for each in base.get("probability", ()) if each.partition("=")[0] not in named]
        values["probability"] = (*kept, *changes["probability"])
    return values


def with_options(recipe: TrainingRecipe | None, options: Mapping[str, Any], given: Container[str]) -> PretrainSettings:
    """The settings of a run.

    Args:
        recipe: what it starts from, if anything.
        options: a value for each setting that has an option, a default where the option was not given.
        given: the settings whose options were given.

    Raises:
        ConfigError: values are out of range or exclude each other.
    """
    if recipe is None:
        return PretrainSettings(**options)
    changes = {name: value for name, value in options.items() if name in given}
    return PretrainSettings(**{**options, **laid_over(recipe.settings, changes)})


def _read(path: Path, above: tuple[Path, ...]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Settings and [paper] of a file; ``above`` are the recipes that start from it."""
    if path.resolve() in above:
        raise ConfigError(f"{path}: the recipe starts from itself, by way of its base")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text; a recipe is TOML") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        base, paper = content.pop("base", None), _paper(content.pop("paper", None))
        settings = _settings(content, str(path))
        if base is not None:
            beside = _base(base, path)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if base is not None:
        settings = laid_over(_read(beside, (*above, path.resolve()))[0], settings)
    return settings, paper


def _base(value: object, path: Path) -> Path:
    """The file that the recipe at ``path`` starts from."""
    if not isinstance(value, str) or not re.fullmatch(r"[^/\\]+\.toml", value):
        raise ConfigError(f"base must be the name of a .toml file in the same folder, got {value!r}")
    if not path.with_name(value).is_file():
        others = sorted(each.name for each in path.parent.glob("*.toml") if each != path)
        raise ConfigError(f"base = {value!r} is no file of its folder; {nearest(value, others)}")
    return path.with_name(value)


def _settings(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Checked values of the settings in a file; a chain as its text in TOML."""
    settings: dict[str, Any] = {}
    for key, value in content.items():
        if key not in FIELDS:
            raise ConfigError(f"unknown key {key}; {nearest(key, [*FIELDS, 'base', 'paper'])}")
        if key == "augment" and isinstance(value, dict):
            settings |= {
                "augment": source,
                "recipe": "".join(f"{json.dumps(k)} = {_toml(v, f'{key}.{k}')}\n" for k, v in value.items()),
            }
        elif key == "augment":
            settings |= {"augment": convert(value, PRESETS if isinstance(value, str) else str, key), "recipe": None}
        else:
            settings[key] = _value(value, FIELDS[key], key)
    for one in settings:
        if ALTERNATIVES.get(one) in settings:
            raise ConfigError(f"{one} and {ALTERNATIVES[one]} exclude each other; give one of them")
    return settings


def _value(value: object, wanted: Any, key: str) -> Any:
    """A value as the type that the setting has."""
    if get_origin(wanted) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{key} must be a list of strings, got {value!r}")
        return tuple(convert(each, str, f"{key}[{index}]") for index, each in enumerate(value))
    kinds = [kind for kind in get_args(wanted) or (wanted,) if kind is not type(None)]  # TOML has no None
    return convert(value, kinds[0], key)


def _paper(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ConfigError(f"paper must be a table, got {value!r}")
    for key in value:
        if key not in PAPER:
            raise ConfigError(f"unknown key paper.{key}; {nearest(key, PAPER)}")
    try:
        json.dumps(value)
    except TypeError as error:
        raise ConfigError("paper may hold texts, numbers, truth values, lists and tables, and no dates") from error
    return value


def _toml(value: object, key: str) -> str:
    """A value of the table [augment] on one line of TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v, f'{key}.{k}')}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each, key) for each in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    raise ConfigError(f"{key} must be a text, a number, a truth value, a list or a table, got {value!r}")
