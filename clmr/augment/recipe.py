"""Chains written down by a user: a TOML file that starts from a preset, or lists operations, one chain or one a view.

    preset = "paper"                # where it starts: paper, official or crop
    [probability]                   # other probabilities
    reverb = 0.2
    [pitch]                         # other ranges, by the names of the fields of clmr.augment.Pitch
    semitones = [-3, 3]

    [first]                         # view 0 goes another way: only cropped (the paper's Table 2)
    preset = "crop"
    [second]
    [[second.operations]]           # operations in an order of one's own, for a view or for both
    name = "filter"
    probability = 1.0

A view's table that names a preset or operations starts from these; otherwise from the chain above it. A recipe is data:
it picks among the presets and the augmentations of this package, sets numbers, and can run no code. An augmentation of
one's own is made known in Python, by :func:`register`, before the recipe is read.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from clmr.augment.augmentation import Augmentation
from clmr.augment.chain import Chain
from clmr.augment.fields import convert
from clmr.augment.nearest import nearest
from clmr.augment.presets import PRESETS
from clmr.errors import ConfigError

VIEWS = ("first", "second")
WORDS = ("preset", "operations", "probability")  # of a recipe and of a view's table; other keys name operations

BUILT_IN: dict[str, type[Augmentation]] = {
    operation.name: type(operation) for preset in PRESETS.values() for operation in preset
}
REGISTERED: dict[str, type[Augmentation]] = {}

Class = TypeVar("Class", bound=type[Augmentation])


def register(cls: Class) -> Class:
    """Let recipes name an augmentation of your own; a decorator of its class.

    The class is imported by the program that calls this, never by a recipe, so that a recipe from elsewhere can run
    nothing. To train with one, register it and call ``train.pretrain.main`` in a script of your own. A class may be
    registered again, also where a notebook has defined it anew.

    Raises:
        ConfigError: it is no dataclass with the members of :class:`Augmentation` and a default for every field, or its
            name is taken.
    """
    missing = [member for member in ("name", "probability", "draw", "apply") if not hasattr(cls, member)]
    if missing or not is_dataclass(cls):
        raise ConfigError(f"{cls.__name__} needs {', '.join(missing) or '@dataclass'} to be an augmentation")
    bare = [field.name for field in fields(cls) if field.default is MISSING and field.default_factory is MISSING]
    if bare:
        raise ConfigError(f"{cls.__name__} needs defaults for {', '.join(bare)}: a recipe may leave them out")
    if cls.name in {*BUILT_IN, *VIEWS, *WORDS}:
        raise ConfigError(f"{cls.__name__}.name = {cls.name!r} means something else in a recipe; choose another name")
    before = REGISTERED.get(cls.name, cls)
    if (before.__module__, before.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ConfigError(
            f"{cls.__name__}.name = {cls.name!r} is registered for {before.__module__}.{before.__qualname__}; "
            "choose another name"
        )
    REGISTERED[cls.name] = cls
    return cls


def read_recipe(recipe: Path | str, sample_rate: int, source: str = "the recipe") -> tuple[Chain, Chain]:
    """The chains of view 0 and view 1.

    Args:
        recipe: a path, or the text itself. A string is a path when it is one line that ends in ``.toml``.
        sample_rate: samples per second of the audio.
        source: what messages call a text; a file bears its own name.

    Raises:
        ConfigError: the file cannot be read, or holds what no chain can be made of; names the file and the key.
    """
    if isinstance(recipe, Path) or (recipe.endswith(".toml") and "\n" not in recipe):
        source = str(recipe)
        try:
            recipe = Path(recipe).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{source} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        return _parse(tomllib.loads(recipe), sample_rate)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not TOML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def _parse(content: dict[str, Any], sample_rate: int) -> tuple[Chain, Chain]:
    shared = {key: value for key, value in content.items() if key not in VIEWS}
    views = [content.get(view, {}) for view in VIEWS]
    base: Chain | None = None
    if shared or not all(_starts(view) for view in views):
        base = _chain(shared, None, sample_rate, "")
    first, second = (_chain(view, base, sample_rate, f"{key}.") for key, view in zip(VIEWS, views, strict=True))
    return first, second


def _starts(content: object) -> bool:
    """Whether a table says itself what its chain starts from."""
    return isinstance(content, dict) and ("preset" in content or "operations" in content)


def _chain(content: object, base: Chain | None, sample_rate: int, where: str) -> Chain:
    """The chain of a table; ``where`` stands before its keys in messages."""
    if not isinstance(content, dict):
        raise ConfigError(f"{where[:-1]} must be a table, got {content!r}")
    if "preset" in content and "operations" in content:
        raise ConfigError(f"{where}preset and {where}operations exclude each other: start from one of the two")
    chain = base
    if "preset" in content:
        chain = Chain(PRESETS[convert(content["preset"], PRESETS, f"{where}preset")], sample_rate)
    if "operations" in content:
        chain = Chain(_operations(content["operations"], f"{where}operations"), sample_rate)
    changes = {key: value for key, value in content.items() if key not in WORDS}
    names = [operation.name for operation in chain.operations] if chain else list(BUILT_IN)
    for key in changes:
        if key not in names:
            allowed = [*names, *WORDS, *(VIEWS if not where else ())]
            raise ConfigError(f"unknown key {where}{key}; {nearest(key, allowed)}")
    if chain is None:
        raise ConfigError(f'give {where}preset = "paper" (official, crop) or [[{where}operations]] to start from')
    chain = replace(
        chain,
        operations=[_changed(each, changes.get(each.name, {}), f"{where}{each.name}") for each in chain.operations],
    )
    return _with_probability(chain, content.get("probability", {}), changes, where)


def _with_probability(chain: Chain, content: object, changes: Mapping[str, Any], where: str) -> Chain:
    """The chain with the table ``[probability]`` laid over it."""
    if not isinstance(content, dict):
        raise ConfigError(f"{where}probability must be a table of name = number, got {content!r}")
    names = [operation.name for operation in chain.operations]
    for name in content:
        if name not in names:
            raise ConfigError(f"unknown key {where}probability.{name}; {nearest(name, names)}")
        if "probability" in changes.get(name, {}):
            raise ConfigError(f"{where}probability.{name} and {where}{name}.probability are the same; give one of them")
    return chain.with_probability(
        {name: convert(value, float, f"{where}probability.{name}") for name, value in content.items()}
    )


def _operations(content: object, where: str) -> list[Augmentation]:
    """The operations of ``[[operations]]``: a table each, with its name and what differs from its defaults."""
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise ConfigError(f"{where} must be tables, each under [[{where}]], got {content!r}")
    known = {**BUILT_IN, **REGISTERED}
    operations = []
    for number, entry in enumerate(content, start=1):
        if "name" not in entry:
            raise ConfigError(f"entry {number} of {where} has no name; one of {', '.join(known)}")
        name = convert(entry["name"], known, f"{where}.name")
        changes = {key: value for key, value in entry.items() if key != "name"}
        operations.append(_changed(known[name](), changes, f"{where}.{name}"))
    return operations


def _changed(operation: Augmentation, changes: object, where: str) -> Augmentation:
    """An operation with some of its fields replaced by values from TOML."""
    if not isinstance(changes, dict):
        raise ConfigError(f"{where} must be a table of settings, got {changes!r}")
    hints = get_type_hints(type(operation))
    allowed = [field.name for field in fields(operation) if field.init]
    values = {}
    for key, value in changes.items():
        if key not in allowed:
            raise ConfigError(f"unknown key {where}.{key}; {nearest(key, allowed)}")
        values[key] = convert(value, hints[key], f"{where}.{key}")
    return replace(operation, **values)
