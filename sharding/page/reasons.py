"""What each reason for leaving a recording out means, in the words of :mod:`sharding.faults`."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise

from sharding.faults import Fault


def meanings() -> dict[str, str]:
    """By reason, the sentence that stands below it in the source of :class:`sharding.faults.Fault`.

    Python keeps no docstring of an enumeration's members, so the source is read: the words stand in one place.
    """
    (definition,) = ast.parse(inspect.getsource(Fault)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for statement, following in pairwise(definition.body):
        match statement, following:
            case (
                ast.Assign(value=ast.Constant(value=str(reason))),
                ast.Expr(value=ast.Constant(value=str(meaning))),
            ):
                found[reason] = " ".join(meaning.replace("``", "").split())
    return found
