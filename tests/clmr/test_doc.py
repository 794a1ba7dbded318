"""The examples in the docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import clmr


def test_examples() -> None:
    names = [module.name for module in pkgutil.walk_packages(clmr.__path__, "clmr.") if module.name != "clmr.cli"]
    results = [doctest.testmod(importlib.import_module(name)) for name in names]
    assert sum(result.attempted for result in results) >= 6
    assert sum(result.failed for result in results) == 0
