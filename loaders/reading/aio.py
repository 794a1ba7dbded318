"""Many reads by one system call: Linux's native AIO (io_submit).

A loop of ``preadv`` takes and gives back the interpreter's lock for every crop, and threads lose much time handing it
to each other, with the training loop as the third. One ``io_submit`` reads a hundred crops without the lock. On
buffered files it is as synchronous as ``preadv`` and as safe: a file that was cut, or a disk that fails, is an answer.
(A memory map copies faster still, but there a cut file kills the process, and cold crops come in page by page.)
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import weakref
from collections.abc import Sequence
from threading import local

import numpy as np
import numpy.typing as npt

AT_MOST = 128  # reads in one call

# linux/aio_abi.h: struct iocb and struct io_event. The C library has no functions for them, so by number.
REQUEST = np.dtype(
    [
        *(("number", "<u8"), ("key", "<u4"), ("rw_flags", "<i4"), ("opcode", "<u2"), ("priority", "<i2")),
        *(("descriptor", "<u4"), ("target", "<u8"), ("size", "<u8"), ("offset", "<i8")),
        *(("reserved", "<u8"), ("flags", "<u4"), ("eventfd", "<u4")),
    ]
)
ANSWER = np.dtype([("number", "<u8"), ("request", "<u8"), ("result", "<i8"), ("result2", "<i8")])
PREAD = 0  # opcode
SETUP, DESTROY, GETEVENTS, SUBMIT = range(4)
SYSTEM_CALLS = {("Linux", "x86_64"): (206, 207, 208, 209), ("Linux", "aarch64"): (0, 1, 4, 2)}
_numbers = SYSTEM_CALLS.get((platform.system(), platform.machine()))
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _call(which: int, *arguments: int) -> int:
    """The system call's answer, or -errno."""
    assert _numbers is not None
    answer: int = _libc.syscall(ctypes.c_long(_numbers[which]), *map(ctypes.c_long, arguments))
    return -ctypes.get_errno() if answer < 0 else answer


class _Context:
    """A thread's queue in the kernel; 0 where there is none."""

    def __init__(self) -> None:
        identity = ctypes.c_ulong(0)
        if _numbers is not None:
            _call(SETUP, AT_MOST, ctypes.addressof(identity))
        self.identity = identity.value
        if self.identity:
            weakref.finalize(self, _destroy, self.identity, os.getpid())


def _destroy(identity: int, process: int) -> None:
    if os.getpid() == process:  # a forked child has no queue
        _call(DESTROY, identity)


_thread = local()


def _thread_context() -> int:
    """The calling thread's queue, made at its first read and destroyed when the thread ends."""
    if not hasattr(_thread, "context"):
        _thread.context = _Context()
    identity: int = _thread.context.identity
    return identity


def read_together(
    descriptors: Sequence[int], offsets: npt.ArrayLike, targets: npt.ArrayLike, size: int
) -> npt.NDArray[np.integer]:
    """Read pieces of files into memory.

    Args:
        descriptors: of the open file of each piece, at most :data:`AT_MOST`.
        offsets: byte where each piece begins.
        targets: address where each piece belongs.
        size: bytes of a piece.

    Returns:
        Numbers of the pieces that did NOT come whole, rising: read those one by one to learn why. Where the system has
        no such call, or forbids it, that is all of them.
    """
    count, context = len(descriptors), _thread_context()
    if not context:
        return np.arange(count)
    requests = np.zeros(count, REQUEST)
    requests["number"] = np.arange(count)
    requests["opcode"] = PREAD
    requests["descriptor"] = descriptors
    requests["target"] = targets
    requests["size"] = size
    requests["offset"] = offsets
    pointers = requests.ctypes.data + REQUEST.itemsize * np.arange(count)
    submitted = 0
    while submitted < count:
        taken = _call(SUBMIT, context, count - submitted, pointers.ctypes.data + pointers.itemsize * submitted)
        if taken <= 0:
            break
        submitted += taken
    answers = np.zeros(submitted, ANSWER)
    answered = 0
    while answered < submitted:  # they are there already; but until they are, the kernel may write to the target
        waiting = submitted - answered
        came = _call(GETEVENTS, context, waiting, waiting, answers.ctypes.data + ANSWER.itemsize * answered, 0)
        if came < 0 and came != -errno.EINTR:
            raise OSError(-came, os.strerror(-came))
        answered += max(came, 0)
    failed = np.ones(count, dtype=np.bool_)
    failed[answers["number"][answers["result"] == size]] = False
    return np.flatnonzero(failed)
