"""Copying what the system holds in memory already: a shard's pages in the page cache, without a read.

``preadv`` finds and copies page after page; copying from a memory map is as fast as any copy in memory, a quarter
faster. But a map must not be touched where the page is not there: a disk error, or a file cut short, then kills the
process instead of raising an error, and a cold crop would come in by 4 KiB faults. So ``mincore`` is asked first, and
what is not in memory is left to ``preadv``.
"""

from __future__ import annotations

import ctypes
import mmap
import os

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

# PyDLL keeps the interpreter's lock during the call: it takes a microsecond, and passing the lock around takes longer.
_mincore = getattr(ctypes.PyDLL(None), "mincore", None)
if _mincore is not None:
    _mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)


class CachedPages:
    """A file's pages as far as they are in memory.

    They count to the resident size of the process, but the system may take them back at any time.
    """

    def __init__(self, content: mmap.mmap) -> None:
        self._bytes: Bytes = np.frombuffer(content, dtype=np.uint8)
        self._address: int = self._bytes.ctypes.data

    @staticmethod
    def of(descriptor: int) -> CachedPages | None:
        """The pages of an open file that is not empty; None where they cannot be mapped or asked for."""
        # The kernel tells the owner of a file and who may write it; to others all pages seem to be in memory.
        owner = os.fstat(descriptor).st_uid == os.geteuid()
        if _mincore is None or not (owner or os.access(f"/dev/fd/{descriptor}", os.W_OK)):
            return None
        try:
            return CachedPages(mmap.mmap(descriptor, 0, prot=mmap.PROT_READ))
        except OSError:  # a file system without maps
            return None

    def copy(self, target: Bytes, offset: int) -> bool:
        """Copy the bytes from ``offset`` on into ``target``; False, and nothing done, if a page of them is missing."""
        size = len(target)
        if offset + size > len(self._bytes) or _mincore is None:
            return False
        begin = offset // mmap.PAGESIZE * mmap.PAGESIZE
        pages = (offset + size - begin + mmap.PAGESIZE - 1) // mmap.PAGESIZE
        present = (ctypes.c_char * pages)()
        if _mincore(self._address + begin, offset + size - begin, present) or b"\0" in present.raw:
            return False
        target[:] = self._bytes[offset : offset + size]
        return True
