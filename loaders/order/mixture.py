"""Several data sets in every batch, each with a constant share of its rows and at its own pace.

A data set goes through its own epochs, here called passes, whatever the others do: with ``S`` batches in its pass, the
global batch number ``g`` takes batch ``g mod S`` of pass ``g div S``. An epoch of the mixture is as long as the longest
pass, so every data set was gone through at least once in it, and the slowest exactly once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clmr.errors import ConfigError
from loaders.order.epochs import Order
from loaders.order.permutation import Integers


def parse_mixture(texts: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Shards and weights of a mixture, ``SHARDS`` or ``SHARDS=WEIGHT`` each.

    What follows the last ``=`` is a weight if it is a number, else part of the path; ``day=7=1`` names ``day=7``.

    Args:
        texts: as given on a command line.

    Returns:
        ``(shards, weight)`` of each data set in the order given; 1.0 where no weight is.

    Raises:
        ConfigError: no data set, one named twice, or a weight that is not a positive number.
    """
    if not texts:
        raise ConfigError("no shards are given: name at least one folder or URL of shards")
    mixture: dict[str, float] = {}
    for text in texts:
        shards, weight = _split(text)
        if not shards:
            raise ConfigError(f"{text!r} names no shards before its weight: write SHARDS=WEIGHT")
        if not (weight > 0 and math.isfinite(weight)):
            raise ConfigError(f"the weight of {shards} in {text!r} is {weight:g}: give a number above 0")
        if shards.rstrip("/") in {name.rstrip("/") for name in mixture}:
            raise ConfigError(f"{shards} is given twice: name each data set once, with the sum of its weights")
        mixture[shards] = weight
    return tuple(mixture.items())


def _split(text: str) -> tuple[str, float]:
    shards, equals, weight = text.rpartition("=")
    if equals and not weight.strip():
        raise ConfigError(f"{text!r} has no weight after its '=': write SHARDS=WEIGHT, or SHARDS alone for weight 1")
    try:
        return (shards, float(weight)) if equals else (text, 1.0)
    except ValueError:  # the '=' belongs to the path
        return text, 1.0


def shares(batch_size: int, weights: Sequence[float]) -> Integers:
    """Rows of each data set in every global batch: by largest remainder, at least 1.

    Args:
        batch_size: rows of a global batch.
        weights: of the data sets, each above 0; only their ratios count.

    Returns:
        Shape ``[data sets]``; their sum is ``batch_size``.

    Raises:
        ConfigError: a weight that is not a positive number, or fewer rows than data sets.
    """
    if not weights:
        raise ConfigError("the mixture has no data sets: name at least one folder or URL of shards")
    bad = [weight for weight in weights if not (weight > 0 and math.isfinite(weight))]
    if bad:
        raise ConfigError(f"a weight is {bad[0]:g}: the weights of a mixture must be numbers above 0")
    if batch_size < len(weights):
        raise ConfigError(
            f"batch size {batch_size} is less than the {len(weights)} data sets of the mixture, which have at least a "
            f"row each: give a --batch-size of {len(weights)} or more"
        )
    largest = max(weights)  # first, so that the sum of huge weights stays finite
    parts = np.array([weight / largest for weight in weights])
    ideal = batch_size * parts / math.fsum(parts)
    rows = np.maximum(1, np.floor(ideal)).astype(np.int64)
    while (short := batch_size - int(rows.sum())) != 0:
        # Whoever is furthest below its ideal gets a row, or whoever is furthest above gives one of several.
        gap = ideal - rows
        rows[np.argmax(gap) if short > 0 else np.argmin(np.where(rows > 1, gap, np.inf))] += np.sign(short)
    return rows


@dataclass(frozen=True, eq=False)
class MixedRows:
    """Rows of some batches, all of shape ``[n, batch_size]``."""

    source: Integers
    """Number of the data set."""
    track: Integers
    """Position of the track in its data set."""
    passes: Integers
    """Epoch of the data set: how often it was gone through before."""


class MixedOrder:
    """The order of a mixture; with one data set, that data set's own.

    Args:
        orders: of each data set, with its share of the rows as batch size.

    Attributes:
        batch_size: rows of a global batch.
        steps: batches of an epoch.
    """

    def __init__(self, orders: Sequence[Order]) -> None:
        self.orders = tuple(orders)
        self.batch_size = sum(order.batch_size for order in orders)
        self.steps = max(order.steps for order in orders)
        # The k-th of n rows of a data set wants to stand at (k + 1/2) / n of the batch: in that order the data sets
        # are mixed in every stretch of rows as in the whole, so also in the slice of every rank.
        wanted = np.concatenate([(np.arange(order.batch_size) + 0.5) / order.batch_size for order in orders])
        sources = np.repeat(np.arange(len(orders)), [order.batch_size for order in orders])
        self._source_of_row = sources[np.argsort(wanted, kind="stable")]

    def own_step(self, source: int, epoch: int, step: int) -> tuple[int, int]:
        """The pass and the step in it at which a data set stands."""
        return divmod(epoch * self.steps + step, self.orders[source].steps)

    def rows(self, epoch: int, steps: Integers) -> MixedRows:
        """The rows of some batches.

        Args:
            epoch: >= 0.
            steps: any of ``0 .. self.steps - 1`` in any order, shape ``[n]``.
        """
        shape = (len(steps), self.batch_size)
        track, passes = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
        for source, order in enumerate(self.orders):
            columns = np.flatnonzero(self._source_of_row == source)
            own_pass, own_step = np.divmod(epoch * self.steps + np.asarray(steps), order.steps)
            passes[:, columns] = own_pass[:, None]
            for number in np.unique(own_pass).tolist():
                here = np.flatnonzero(own_pass == number)
                track[np.ix_(here, columns)] = order.rows(number, own_step[here])
        return MixedRows(np.tile(self._source_of_row, (len(steps), 1)), track, passes)
