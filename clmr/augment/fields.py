"""A value from TOML as the type that a field of a dataclass has, or a message that says what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from clmr.augment.nearest import nearest
from clmr.errors import ConfigError

LARGEST = 2**31  # whole numbers are below it: larger ones would overflow when a draw multiplies them

WORDED = {bool: "true or false", int: "a whole number below 2^31", float: "a number", str: "a string"}


def convert(value: object, wanted: Any, where: str) -> Any:
    """Check a value and convert it.

    Args:
        value: of TOML: a string, a number, a truth value or a list.
        wanted: bool, int, float, str, a Literal, a tuple of these, or a mapping whose keys are the strings allowed.
        where: the key, for messages.

    Raises:
        ConfigError: the value is of another type or not among those allowed.
    """
    if isinstance(wanted, Mapping) or get_origin(wanted) is Literal:
        choices = list(wanted if isinstance(wanted, Mapping) else get_args(wanted))
        if value not in choices:
            raise ConfigError(f"{where} = {value!r} is unknown; {nearest(str(value), map(str, choices))}")
        return value
    if get_origin(wanted) is tuple:
        parts = get_args(wanted)
        if not isinstance(value, list) or len(value) != len(parts):
            raise ConfigError(f"{where} must be a list of {len(parts)} values, got {value!r}")
        pairs = zip(value, parts, strict=True)
        return tuple(convert(each, part, f"{where}[{index}]") for index, (each, part) in enumerate(pairs))
    if wanted not in WORDED:
        raise ConfigError(f"{where} cannot be set by a recipe: its type {wanted} is none of those that TOML has")
    fits = type(value) is wanted or (wanted is float and type(value) is int)
    if not fits or (isinstance(value, int) and abs(value) >= LARGEST):
        raise ConfigError(f"{where} must be {WORDED[wanted]}, got {value!r}")
    return wanted(value)
