"""Which version of a data set, and what of it is one track: checked against what the data set offers."""

from __future__ import annotations

from clmr.errors import ConfigError
from sharding.datasets.catalog import Request


def choose(request: Request, dataset: str, variants: tuple[str, ...] = (), units: tuple[str, ...] = ("clip",)) -> str:
    """The variant asked for; where none is, the first one, or none for a data set that has only one version.

    Raises:
        ConfigError: the data set has no such variant or unit.
    """
    if request.unit not in units:
        raise ConfigError(f"unit is {request.unit!r}, but {dataset} has only {' and '.join(units)}")
    if request.variant and not variants:
        raise ConfigError(f"variant is {request.variant!r}, but {dataset} has only one version; leave the variant out")
    if request.variant and request.variant not in variants:
        raise ConfigError(f"variant is {request.variant!r}, but {dataset} has only {', '.join(variants)}")
    return request.variant or next(iter(variants), "")
