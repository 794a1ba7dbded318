"""From the loader's pairs of crops to the two augmented views of every track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clmr.augment.augmentation import check_probability
from clmr.augment.chain import Chain
from clmr.augment.nearest import nearest
from clmr.augment.pcm import from_int16
from clmr.augment.recipe import read_recipe
from clmr.augment.table import Table
from clmr.errors import ConfigError


@dataclass(frozen=True)
class Views:
    """A chain for each of the two views; mostly the same one, which is then applied to both at once.

    Example:
        >>> import torch
        >>> views = Views.preset("paper", sample_rate=22050)
        >>> views(torch.zeros(4, 2, 59049, dtype=torch.int16), torch.arange(8).view(4, 2)).shape
        torch.Size([2, 4, 1, 59049])
    """

    first: Chain
    """Of view 0."""

    second: Chain
    """Of view 1."""

    def __post_init__(self) -> None:
        if self.first.sample_rate != self.second.sample_rate:
            raise ConfigError(
                f"both views must have one sample rate, got {self.first.sample_rate} and {self.second.sample_rate}"
            )

    @classmethod
    def preset(cls, name: str, sample_rate: int) -> Views:
        """The preset ``paper``, ``official`` or ``crop`` for both views."""
        chain = Chain.preset(name, sample_rate)
        return cls(chain, chain)

    @classmethod
    def recipe(cls, recipe: Path | str, sample_rate: int, source: str = "the recipe") -> Views:
        """The chains of a recipe: a TOML file, or its text; see :func:`clmr.augment.recipe.read_recipe`."""
        return cls(*read_recipe(recipe, sample_rate, source))

    def with_probability(self, probabilities: Mapping[str, float]) -> Views:
        """Other probabilities, in each view that has the operation named; one of them must."""
        chains = (self.first, self.second)
        names = [{operation.name: None for operation in chain.operations} for chain in chains]
        for name, probability in probabilities.items():
            if not any(name in each for each in names):
                raise ConfigError(f"no view has an augmentation {name!r}; {nearest(name, names[0] | names[1])}")
            check_probability(name, probability)
        return Views(
            *(
                chain.with_probability({name: probabilities[name] for name in probabilities if name in each})
                for chain, each in zip(chains, names, strict=True)
            )
        )

    @property
    def same(self) -> bool:
        """Whether both views go through the same chain."""
        return self.first == self.second

    def describe(self) -> dict[str, Any]:
        """Everything that decides what the views are, ready for JSON, in the words of a recipe."""
        if self.same:
            return self.first.describe()
        views = {"first": self.first, "second": self.second}
        return {
            "sample_rate": self.first.sample_rate,
            **{name: {"operations": chain.describe()["operations"]} for name, chain in views.items()},
        }

    def draw(self, keys: Tensor) -> tuple[Table, Table]:
        """The parameters of view 0 and of view 1, B rows each, from int64 draw keys ``[B, 2]``."""
        if keys.ndim != 2 or keys.shape[1] != 2:
            raise ConfigError(f"draw keys must be int64 [B, 2], one for each view, got {list(keys.shape)}")
        if not self.same:
            return self.first.draw(keys[:, 0]), self.second.draw(keys[:, 1])
        both, pairs = self.first.draw(keys.transpose(0, 1).flatten()), len(keys)
        return {name: each[:pairs] for name, each in both.items()}, {name: each[pairs:] for name, each in both.items()}

    def apply(self, pcm: Tensor, tables: tuple[Table, Table], dtype: torch.dtype = torch.float32) -> Tensor:
        """Apply the two tables of :meth:`draw`, or of a log; otherwise as :meth:`__call__`."""
        if pcm.ndim != 3 or pcm.shape[1] != 2:
            raise ConfigError(f"crops must be int16 [B, 2, T], two for each track, got {list(pcm.shape)}")
        pairs, _, frames = pcm.shape
        audio = from_int16(pcm.transpose(0, 1)).to(dtype)  # view 0 of every track, then view 1
        if self.same:
            if tables[0].keys() != tables[1].keys():
                raise ConfigError(f"the tables differ in columns: {', '.join(tables[0].keys() ^ tables[1].keys())}")
            both = {column: torch.cat([values, tables[1][column]]) for column, values in tables[0].items()}
            self.first.apply_(audio, both)
        else:
            self.first.apply_(audio[:pairs], tables[0])
            self.second.apply_(audio[pairs:], tables[1])
        return audio.view(2, pairs, 1, frames)

    def __call__(self, pcm: Tensor, keys: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The augmented views of a batch.

        Args:
            pcm: two crops of every track, int16, shape ``[B, 2, T]``, on any device.
            keys: int64 draw keys, shape ``[B, 2]``; best on the host.
            dtype: float32, or float64 for checks.

        Returns:
            Views, shape ``[2, B, 1, T]``, on the device of ``pcm``; may exceed +-1.
        """
        return self.apply(pcm, self.draw(keys), dtype)
