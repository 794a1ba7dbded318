"""Draw, then apply: a table of parameters, one row per view, and the audio that it makes of a batch of crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from clmr import draw
from clmr.augment.augmentation import Augmentation
from clmr.augment.delay import Delay
from clmr.augment.filter import Filter
from clmr.augment.gain import Gain
from clmr.augment.noise import Noise
from clmr.augment.polarity import Polarity
from clmr.errors import ConfigError

Table = dict[str, Tensor]
"""Column ``<operation>.<parameter>`` -> one value per view, shape ``[N]``, on the host. Every operation has a bool
column ``<operation>.gate``: whether the row gets it."""

PRESETS: dict[str, tuple[Augmentation, ...]] = {
    # Appendix B of the paper; probabilities where it names them (section 3.3), else those of the authors' code.
    "paper": (
        Polarity(probability=0.8),
        Noise(probability=0.01, snr_db=(80.0, 80.0)),
        Gain(probability=0.3, db=(-6.0, 0.0)),
        Filter(probability=0.8, kind="first-order"),
        Delay(probability=0.4, ms=(200, 500)),
    ),
    # Version 2 of the authors' code with its libraries' defaults.
    "official": (
        Polarity(probability=0.8),
        Noise(probability=0.01, snr_db=(40.0, 80.0)),
        Gain(probability=0.3, db=(-20.0, -1.0), clamp=True),
        Filter(probability=0.8, kind="sinc"),
        Delay(probability=0.3, ms=(200, 450)),
    ),
}
NOT_INCLUDED = ("pitch", "reverb")  # both presets end in these two; they are not built yet


@dataclass(frozen=True)
class Chain:
    """Augmentations in order, each applied to a row or not by a draw of its own.

    Example:
        >>> import torch
        >>> chain = Chain.preset("paper", sample_rate=22050)
        >>> chain(torch.zeros(4, 1, 59049), torch.arange(4)).shape
        torch.Size([4, 1, 59049])
    """

    operations: Sequence[Augmentation]
    """What is applied, first to last; no two of one name."""

    sample_rate: int
    """Samples per second of the audio."""

    def __post_init__(self) -> None:
        names = [operation.name for operation in self.operations]
        if len(set(names)) < len(names):
            raise ConfigError(f"a chain may hold each augmentation once, got {', '.join(names)}")
        if self.sample_rate < 1:
            raise ConfigError(f"sample rate must be positive, got {self.sample_rate}")

    @classmethod
    def preset(cls, name: str, sample_rate: int) -> Chain:
        """The chain ``paper`` (its appendix B) or ``official`` (the authors' code, version 2)."""
        if name not in PRESETS:
            raise ConfigError(f"augmentation preset must be one of {', '.join(PRESETS)}, got {name!r}")
        return cls(PRESETS[name], sample_rate)

    def describe(self) -> dict[str, Any]:
        """Everything that decides what the chain does, ready for JSON."""
        return {
            "sample_rate": self.sample_rate,
            "operations": [{"name": operation.name, **asdict(operation)} for operation in self.operations],  # type: ignore[call-overload]
            "not_included": list(NOT_INCLUDED),
        }

    def draw(self, keys: Tensor) -> Table:
        """Draw every parameter of every row, also those its gate leaves unused.

        Args:
            keys: int64 draw keys, one per view, shape ``[N]``; best on the host, where the table is made.
        """
        if keys.dtype != torch.int64 or keys.ndim != 1:
            raise ConfigError(f"draw keys must be an int64 tensor [N], got {keys.dtype} {list(keys.shape)}")
        keys = keys.cpu()
        table: Table = {}
        for operation in self.operations:
            name = operation.name
            table[f"{name}.gate"] = draw.uniform(keys, f"{name}.gate") < operation.probability
            table |= {f"{name}.{column}": values for column, values in operation.draw(keys).items()}
        return table

    @torch.no_grad()
    def apply(self, audio: Tensor, table: Table) -> Tensor:
        """Apply a table's parameters.

        A row whose gate is closed passes an operation unchanged, to the bit. The gates are read on the host, so that
        only the open rows are worked on and the device is never waited for.

        Args:
            audio: shape ``[N, 1, T]``, float32 or float64, in +-1; left as it is.
            table: of :meth:`draw`, N rows.

        Returns:
            Augmented audio, shape ``[N, 1, T]``; may exceed +-1.
        """
        if audio.ndim != 3 or audio.shape[1] != 1 or audio.dtype not in {torch.float32, torch.float64}:
            raise ConfigError(f"audio must be float [N, 1, T], got {audio.dtype} {list(audio.shape)}")
        audio = audio.clone()
        for operation in self.operations:
            prefix = f"{operation.name}."
            gate = table[f"{prefix}gate"]
            if len(gate) != len(audio):
                raise ConfigError(f"the table has {len(gate)} rows for {len(audio)} rows of audio")
            rows = gate.nonzero().flatten()
            if len(rows) == 0:
                continue
            columns = {
                column.removeprefix(prefix): values[rows].to(audio.device, non_blocking=True)
                for column, values in table.items()
                if column.startswith(prefix)
            }
            rows = rows.to(audio.device, non_blocking=True)
            audio[rows] = operation.apply(audio[rows], columns, self.sample_rate)
        return audio

    def __call__(self, audio: Tensor, keys: Tensor) -> Tensor:
        """Draw and apply: audio ``[N, 1, T]`` and keys int64 ``[N]`` -> audio ``[N, 1, T]``."""
        return self.apply(audio, self.draw(keys))
