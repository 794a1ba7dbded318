"""Whether a contender's settings fit the function that makes it, read from the source: its packages may be missing."""

from __future__ import annotations

import ast

from benchmarks.turns import ROOT, Contender


def misfit(contender: Contender) -> str | None:
    """What does not fit; None where all does."""
    module, _, name = contender.target.partition(":")
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if name not in functions:
        return f"{module} has no function {name}"
    if not ast.get_docstring(functions[name]):
        return f"{contender.target} does not say how it is set up"
    arguments = functions[name].args
    known = [argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)]
    needed = known[: len(arguments.args) - len(arguments.defaults)]
    given = set(contender.settings)
    if missing := set(needed) - given:
        return f"{contender.target} misses {missing}"
    if not arguments.kwarg and (unknown := given - set(known)):
        return f"{contender.target} does not know {unknown}"
    return None
