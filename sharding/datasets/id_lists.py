"""Short public lists that belong to data sets: ids and tags, one per line, in files beside this one."""

from __future__ import annotations

from importlib.resources import files


def read_list(name: str) -> tuple[str, ...]:
    """The lines of ``lists/<name>.txt`` that are not comments, in order."""
    text = files("sharding.datasets").joinpath("lists", f"{name}.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))
