"""Options of the command line that the training programs share: one text, one default, one place in ``--help`` each.

A decorator stands for one option or for several that stand together::

    @click.command(context_settings={"show_default": True})
    @options.shards
    @options.run
    @options.length
    @click.option("--batch-size", default=64)
    @options.reading
    def main(**values: Any) -> None: ...
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from loaders.settings import ACCESSES, BACKENDS
from sharding.format import SPLITS
from train.ranks.launch import DEVICES

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def together(*decorators: Decorator) -> Decorator:
    """Several options as one decorator, in the order in which ``--help`` lists them."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


shards = together(
    click.option(
        "--shards",
        multiple=True,
        help="Folder of shards, by path or URL. Several are mixed by weight: --shards A=0.7 B=0.3.",
    ),
    click.argument("more_shards", nargs=-1, metavar="[SHARDS=WEIGHT]..."),
)
"""``shards`` and ``more_shards``; both together are the folders."""


class _Folder(click.Path):
    """A folder; not the empty text that an unset variable of the shell leaves: it would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As :class:`click.Path`."""
        if not value:
            self.fail("it is empty; name a folder", param, ctx)
        return super().convert(value, param, ctx)


run = click.option("--run", required=True, type=_Folder(path_type=Path, file_okay=False), help="Folder of this run.")

length = together(
    click.option("--epochs", type=int, help="Passes over the tracks."),
    click.option("--steps", type=int, help="Optimiser steps, instead of --epochs."),
)

splits = click.option(
    "--split", "splits", type=click.Choice(SPLITS), multiple=True, default=["train"], help="May be repeated."
)

sample_rate = click.option("--sample-rate", type=int, help="Hz the shards must have  [default: what they have]")


def seed(of: str = "Of the initial weights and of every draw.") -> Decorator:
    """``--seed``; ``of`` says what follows from it."""
    return click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help=of)


reading = together(
    click.option("--backend", type=click.Choice(BACKENDS), default="auto", help="Who brings crops to the device."),
    click.option("--access", type=click.Choice(ACCESSES), default="auto", help="How remote shards are read."),
    click.option(
        "--window",
        type=click.IntRange(min=0),
        help="Shards whose tracks are mixed, 0 for all  [default: what streaming needs, else 0]",
    ),
    click.option("--cache", help="Folder of the streaming cache  [default: $CLMR_CACHE or ~/.cache/clmr/shards]"),
    click.option("--cache-size", help="Most the cache may hold, such as 500GiB  [default: 80 % of what is free]"),
)

depth = click.option(
    "--depth", type=click.IntRange(min=1), help="Batches read ahead  [default: 3, more where it is far]"
)

checkpoint_every = click.option(
    "--checkpoint-every", type=click.IntRange(min=1), default=500, help="Steps between checkpoints."
)

checkpoints = click.option(
    "--checkpoints",
    metavar="URL",
    type=_Folder(file_okay=False),
    help="Folder or URL for copies of them (docs/cluster.md).",
)

placement = together(
    click.option("--device", type=click.Choice(DEVICES), default="auto"),
    click.option(
        "--threads", type=click.IntRange(min=1), help="CPU threads  [default: this process's share of the cores]"
    ),
)
