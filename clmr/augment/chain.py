"""Draw, then apply: a table of parameters, one row per view, and the audio that it makes of a batch of crops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import is_autocast_available

from clmr import draw
from clmr.augment.augmentation import Augmentation, check_probability
from clmr.augment.nearest import nearest
from clmr.augment.presets import PRESETS
from clmr.augment.send import send
from clmr.augment.table import Table
from clmr.augment.threads import run_alone
from clmr.errors import ConfigError

PIECE_ROWS = 48
"""Rows of a batch that a thread of the CPU takes through all operations at a time."""

FEWEST_ROWS = 16
"""Fewer are not worth a thread: an operation of a few rows is all overhead."""

SHORT_ROW = 32_768
"""Samples. An effect on shorter rows is so many short operations that threads mostly wait for Python, which one of them
runs at a time: 96 rows of 20,736 samples took one thread 64 ms and two 81 ms, where 59,049 took 160 and 138."""

CPU_ROWS = 32
"""Rows worked on at a time on the CPU: with more of them a row takes no less time, only more memory."""

DEVICE_ROWS = 256
"""Rows worked on at a time on a device: it is busy, and the memory an operation takes has a bound."""

DEVICE_MULTIPLE = 32
"""On a device the number of rows is rounded up to a multiple of this, where they are few of a quarter of it. How many
rows are open is another number in every batch, and cuFFT makes a plan, and the allocator a block, for each number it
has not seen."""


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
        object.__setattr__(self, "operations", tuple(self.operations))
        names = [operation.name for operation in self.operations]
        if len(set(names)) < len(names):
            raise ConfigError(f"a chain may hold each augmentation once, got {', '.join(names)}")
        if any("." in name for name in names):
            raise ConfigError(f"the name of an augmentation may hold no dot, got {', '.join(names)}")
        if self.sample_rate < 1:
            raise ConfigError(f"sample rate must be positive, got {self.sample_rate}")

    @classmethod
    def preset(cls, name: str, sample_rate: int) -> Chain:
        """``paper`` (its appendix B), ``official`` (the authors' code, version 2) or ``crop`` (no operations)."""
        if name not in PRESETS:
            raise ConfigError(f"augmentation preset must be one of {', '.join(PRESETS)}, got {name!r}")
        return cls(PRESETS[name], sample_rate)

    def with_probability(self, probabilities: Mapping[str, float]) -> Chain:
        """This chain with other probabilities for the operations named, as in Figure 4 of the paper."""
        names = [operation.name for operation in self.operations]
        for name, probability in probabilities.items():
            if name not in names:
                raise ConfigError(f"the chain has no augmentation {name!r}; {nearest(name, names)}")
            check_probability(name, probability)
        return replace(
            self,
            operations=[
                replace(operation, probability=probabilities.get(operation.name, operation.probability))
                for operation in self.operations
            ],
        )

    def describe(self) -> dict[str, Any]:
        """Everything that decides what the chain does, ready for JSON, in the words of a recipe."""
        return {
            "sample_rate": self.sample_rate,
            "operations": [{"name": operation.name, **asdict(operation)} for operation in self.operations],
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
            columns = operation.draw(keys)
            if "gate" in columns:
                raise ConfigError(f"{name} draws a parameter called gate, which means whether it is applied; rename it")
            table |= {f"{name}.{column}": values for column, values in columns.items()}
        return table

    def apply(self, audio: Tensor, table: Table) -> Tensor:
        """Apply a table's parameters.

        A row whose gate is closed passes an operation unchanged, to the bit. Gates and parameters are read on the
        host, so that only the open rows are worked on and the device is never waited for.

        Args:
            audio: shape ``[N, 1, T]``, float32 or float64, in +-1; left as it is.
            table: of :meth:`draw`, N rows, on the host.

        Returns:
            Augmented audio, shape ``[N, 1, T]``; may exceed +-1.
        """
        return self.apply_(audio.clone(), table)

    def apply_(self, audio: Tensor, table: Table) -> Tensor:
        """:meth:`apply` in the memory of ``audio`` itself, for callers that need the crops no longer."""
        if audio.ndim != 3 or audio.shape[1] != 1 or audio.dtype not in {torch.float32, torch.float64}:
            raise ConfigError(f"audio must be float32 or float64 [N, 1, T], got {audio.dtype} {list(audio.shape)}")
        if audio.requires_grad and torch.is_grad_enabled():
            raise ConfigError("a chain gives no gradient: pass audio.detach(), or use the functions it is made of")
        self._check(table, len(audio))
        if audio.device.type == "cpu":
            threads = torch.get_num_threads() if audio.shape[2] >= SHORT_ROW else 1
            pieces = share(len(audio), threads)
            tables = ({name: values[rows] for name, values in table.items()} for rows in pieces)
            work = [partial(self._work, audio[rows], part) for rows, part in zip(pieces, tables, strict=True)]
            run_alone(work, threads)
        else:
            with torch.no_grad():
                self._work(audio, table)
        return audio

    def _work(self, audio: Tensor, table: Table) -> None:
        """Take some rows through all operations."""
        with without_autocast(audio.device.type):
            for operation, names in zip(self.operations, self._columns, strict=True):
                open_rows = table[f"{operation.name}.gate"].nonzero().flatten()
                for chunk, count in chunks(open_rows, audio.device):
                    columns = {name: table[f"{operation.name}.{name}"][chunk] for name in names}
                    rows = send(chunk, audio.device)
                    result = operation.apply(audio.index_select(0, rows), columns, self.sample_rate)
                    audio.index_copy_(0, rows[:count], result[:count])

    def __call__(self, audio: Tensor, keys: Tensor) -> Tensor:
        """Draw and apply: audio ``[N, 1, T]`` and keys int64 ``[N]`` -> audio ``[N, 1, T]``."""
        return self.apply(audio, self.draw(keys))

    @cached_property
    def _columns(self) -> list[list[str]]:
        """The names of every operation's parameters."""
        none = torch.empty(0, dtype=torch.int64)
        return [list(operation.draw(none)) for operation in self.operations]

    def _check(self, table: Table, rows: int) -> None:
        """Refuse a table that another chain drew, or for another batch."""
        for operation, names in zip(self.operations, self._columns, strict=True):
            for column in (f"{operation.name}.{name}" for name in ("gate", *names)):
                if column not in table:
                    raise ConfigError(f"the table has no column {column}; draw it by this chain")
                if len(table[column]) != rows:
                    raise ConfigError(f"the table has {len(table[column])} rows for {rows} rows of audio")


def without_autocast(device_type: str) -> AbstractContextManager[object]:
    """No operation is computed in half precision inside of it."""
    if is_autocast_available(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def share(rows: int, threads: int) -> list[slice]:
    """Cut the rows of a batch into as many pieces for each thread, of :data:`PIECE_ROWS` at most."""
    count = -(-rows // PIECE_ROWS)
    count = max(1, min(-(-count // threads) * threads, rows // FEWEST_ROWS))
    return [slice(rows * piece // count, rows * (piece + 1) // count) for piece in range(count)]


def chunks(rows: Tensor, device: torch.device) -> Iterator[tuple[Tensor, int]]:
    """Cut a list of rows into pieces of the size that suits the device.

    Args:
        rows: row numbers, int64, shape ``[N]``, on the host.
        device: where the rows are worked on.

    Yields:
        Row numbers, and how many of them count; those beyond repeat the last row.
    """
    if device.type == "cpu":
        yield from ((chunk, len(chunk)) for chunk in rows.split(CPU_ROWS) if len(chunk))
        return
    for chunk in rows.split(DEVICE_ROWS):
        if len(chunk):
            multiple = DEVICE_MULTIPLE if len(chunk) > 4 * DEVICE_MULTIPLE else DEVICE_MULTIPLE // 4
            filler = chunk[-1:].expand(-len(chunk) % multiple)
            yield torch.cat([chunk, filler]), len(chunk)
