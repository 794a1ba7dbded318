"""A plan as a file: the options of ``python -m train.runner run`` written down, and what stands behind ``--``.

    recipes = ["table2-*", "Table 5", "mine.toml"]
    out = "runs/paper"
    shards = { mtat-song = "s3://bucket/mtat-song", mtat = "s3://bucket/mtat" }
    preset = ["paper", "fast"]
    options = ["--precision", "bf16"]     # of train/pretrain.py

An option of the command line takes the place of the file's.
"""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import click

from clmr.augment.nearest import nearest
from clmr.errors import ConfigError

OPTIONS = "train.runner.options"
"""Where the words behind ``--`` wait in the context."""


class PlannedCommand(click.Command):
    """A command whose words behind ``--`` are options for another program."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what stands behind ``--`` aside."""
        if "--" in args:
            place = args.index("--")
            args, ctx.meta[OPTIONS] = args[:place], tuple(args[place + 1 :])
        return super().parse_args(ctx, args)


def read_plan(ctx: click.Context, _option: click.Parameter, path: Path | None) -> None:
    """Take the file's values as the defaults of the other options.

    Raises:
        ConfigError: it cannot be read, or a key is no option.
    """
    if path is None:
        return
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"--plan {path} is no TOML file that can be read: {error}") from error
    names = {each.name for each in ctx.command.params if each.name is not None} - {"plan", "dry_run", "only"}
    for key in content:
        if key not in {*names, "options"}:
            raise ConfigError(f"{path}: unknown key {key}; {nearest(key, [*sorted(names), 'options'])}")
    ctx.meta.setdefault(OPTIONS, tuple(map(str, _list(content.pop("options", []), "options", path))))
    if isinstance(content.get("shards"), dict):
        content["shards"] = [f"{name}={folder}" for name, folder in content["shards"].items()]
    for key in ("recipes", "shards", "preset", "head", "also_on"):
        if key in content:
            content[key] = _list(content[key], key, path)
    for key in ("cpc_options", "supervised_options"):
        if isinstance(content.get(key), list):
            content[key] = shlex.join(map(str, content[key]))
    ctx.default_map = content


def _list(value: object, key: str, path: Path) -> list[Any]:
    if not isinstance(value, list):
        raise ConfigError(f'{path}: {key} must be a list, such as {key} = ["..."], got {value!r}')
    return value
