"""Preallocated batches: a slab is used again only when nobody holds the tensor over it any more.

Fresh memory costs more than the copy into it: the system clears every page at first touch. So slabs go round, and how
many there are follows from how many batches the user keeps.
"""

from __future__ import annotations

import weakref
from collections import deque

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Bytes = npt.NDArray[np.uint8]
Pcm = npt.NDArray[np.int16]


class Slab:
    """One preallocated batch.

    Args:
        shape: ``[batch, views, T]``.
        pinned: page-locked memory.

    Attributes:
        pcm: the samples, int16, of that shape.
        crops: the bytes of each of its ``batch * views`` crops, one behind the other in memory.
        address: of the first byte.
    """

    def __init__(self, shape: tuple[int, int, int], *, pinned: bool) -> None:
        self.pcm: Pcm = torch.empty(shape, dtype=torch.int16, pin_memory=pinned).numpy()
        self.crops: Bytes = self.pcm.reshape(-1, shape[2]).view(np.uint8)
        self.address: int = self.pcm.ctypes.data


class SlabPool:
    """Slabs of one shape, lent and returned.

    Args:
        shape: of every slab, ``[batch, views, T]``.
        pinned: page-locked memory, from which a GPU copies by itself.
    """

    def __init__(self, shape: tuple[int, int, int], *, pinned: bool = False) -> None:
        self.shape = shape
        self.pinned = pinned
        self.allocated = 0
        self._free: deque[Slab] = deque()
        # The collector calls deque.append itself, and no line of Python runs then that Ctrl-C could break off.
        self._returned: deque[weakref.ref[Pcm]] = deque()
        self._loans: dict[int, tuple[weakref.ref[Pcm], Slab]] = {}

    def take(self) -> Slab:
        """A slab nobody else holds, its content arbitrary."""
        while self._returned:
            _, slab = self._loans.pop(id(self._returned.popleft()))
            self._free.append(slab)
        try:
            return self._free.pop()
        except IndexError:
            self.allocated += 1
            return Slab(self.shape, pinned=self.pinned)

    def give_back(self, slab: Slab) -> None:
        """Return a slab; no tensor over it may be in use."""
        self._free.append(slab)

    def lend(self, slab: Slab, rows: int) -> Tensor:
        """The first ``rows`` rows as a tensor; when the last tensor over them is gone, the slab comes back."""
        view = slab.pcm[:rows]  # torch keeps this array alive exactly as long as any tensor shares its memory
        loan = weakref.ref(view, self._returned.append)
        self._loans[id(loan)] = loan, slab
        return torch.from_numpy(view)
