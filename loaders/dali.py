"""The ``dali`` backend: threads read into slabs as ever, an NVIDIA DALI pipeline brings each slab to the device.

DALI is fed by ``fn.external_source``, so it takes every order, every storage and every mixture, and delivers the bytes
of the ``torch`` backend. A batch is fed when it is read, not before: what goes wrong in reading is raised here and
never reaches DALI, whose pipelines do not survive an error. DALI draws nothing and casts nothing (``fn.cast`` rounds).

To a GPU DALI copies straight from the slab, which is page-locked. On the CPU it copies every batch into memory of its
own, which the torch backend does without.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from threading import RLock
from typing import Any, Generic
from weakref import WeakSet

import torch
from torch import Tensor

from clmr.errors import ConfigError
from loaders.prefetch import Prefetch
from loaders.reading.crops import CropReader
from loaders.reading.readahead import AnyCrops, ReadAhead
from loaders.reading.slabs import Pcm, SlabPool
from loaders.reading.threads import ProcessGuard, default_threads
from loaders.transfer import usable_device

OLDEST = (2, 4)
POOL = ("DALI_MALLOC_POOL_THRESHOLD", "1M")
"""Unless told so before it is loaded, DALI takes fresh memory for every batch on the CPU, and is half as fast."""

_pipelines: WeakSet[Any] = WeakSet()
_prefetches: WeakSet[DaliPrefetch[Any]] = WeakSet()
_held: list[DaliPrefetch[Any]] = []
"""Those that a fork under way has halted."""


def _halt() -> None:
    """Before a fork, have DALI through with what it was given.

    A child in which DALI's memory pool stays locked, because a thread held the lock that is not there any more, hangs
    as soon as it lets go of a batch.
    """
    for prefetch in list(_prefetches):
        prefetch.lock.acquire()
        _held.append(prefetch)  # to be let go of, whatever comes
        prefetch.settle()


def _go_on() -> None:
    while _held:
        _held.pop().lock.release()


def _abandon() -> None:
    """In a forked child, leave the parent's pipelines alone: taking them down waits for threads that are not there.

    Nor is the memory pool taken down at the end. What C calls at the end of a process runs last in, first out, so the
    child's end is these two functions: what C has buffered is written, and that is all. Python has ended by then.
    """
    _go_on()
    if not _pipelines:
        return
    for pipeline in _pipelines:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(pipeline._pipe))
        pipeline._pipe = None
    libc = ctypes.CDLL(None)
    libc.on_exit(libc._exit, None)  # is given the exit status
    libc.on_exit(libc.fcloseall, None)


os.register_at_fork(before=_halt, after_in_parent=_go_on, after_in_child=_abandon)


def load_dali() -> Any:
    """The module ``nvidia.dali``.

    Raises:
        ConfigError: it is not installed, or too old.
    """
    os.environ.setdefault(*POOL)
    oldest = ".".join(map(str, OLDEST))
    advice = f"pip install 'nvidia-dali-cuda130>={oldest}', or use --backend torch"
    try:
        dali = import_module("nvidia.dali")
    except ImportError as error:
        raise ConfigError(f"backend dali needs NVIDIA DALI, which cannot be loaded here ({error}): {advice}") from error
    if tuple(map(int, dali.__version__.split(".")[:2])) < OLDEST:
        raise ConfigError(f"backend dali needs NVIDIA DALI {oldest}, {dali.__version__} is installed: {advice}")
    return dali


def build_pipeline(rows: int, device: torch.device) -> Any:
    """A pipeline that takes batches of at most ``rows`` rows under the name "pcm" and brings them to the device.

    Raises:
        ConfigError: DALI cannot be had, or not for this device.
    """
    dali, fn, types = load_dali(), import_module("nvidia.dali.fn"), import_module("nvidia.dali.types")
    number = None
    if device.type == "cuda":
        number = device.index if device.index is not None else torch.cuda.current_device()
    # One batch in DALI at a time, beside those delivered: while the caller works on one, the next is on its way, and a
    # longer queue would only hold more memory. The executor must be the dynamic one: the other overwrites what it has
    # delivered.
    pipeline = dali.Pipeline(
        batch_size=rows,
        num_threads=default_threads(),
        device_id=number,
        prefetch_queue_depth=1,
        exec_dynamic=True,
    )
    with pipeline:
        pcm = fn.external_source(name="pcm", no_copy=True, dtype=types.INT16, ndim=2)
        pipeline.set_outputs(pcm if number is None else pcm.gpu())
    try:
        pipeline.build()
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"DALI cannot work with device {device}: {reason}; use --backend torch") from error
    _pipelines.add(pipeline)
    return pipeline


@dataclass(frozen=True, eq=False)
class _Moving(Generic[AnyCrops]):
    """The batch that DALI has."""

    crops: AnyCrops
    pcm: Pcm
    """The slab's rows; the slab goes back when neither we nor DALI hold this array any more."""


@dataclass(frozen=True, eq=False)
class _Arrived:
    """What DALI has made of a batch."""

    output: Any
    stream: torch.cuda.Stream | None
    """That waits for it; None on the CPU."""


@dataclass(frozen=True, eq=False)
class _Copying:
    """A delivered batch whose last copy the GPU may still have to make, and what it is made from."""

    done: torch.cuda.Event
    pcm: Pcm
    output: Any


class DaliPrefetch(Prefetch[AnyCrops]):
    """The ``dali`` backend.

    Args:
        blocks: the crops of every batch to come; the batches of a block are read together.
        reader: where they are read.
        slabs: what they are read into, shape ``[at least b, views, T]``; page-locked for a GPU.
        device: where the tensors go.
        depth: batches being read.

    Raises:
        ConfigError: DALI is not installed or cannot use the device.
    """

    def __init__(
        self,
        blocks: Iterator[Sequence[AnyCrops]],
        reader: CropReader,
        slabs: SlabPool,
        device: torch.device,
        depth: int,
    ) -> None:
        self._ahead = ReadAhead(blocks, reader, slabs, depth)
        self._slabs = slabs
        self._device = usable_device(device)
        self._guard = ProcessGuard()
        self.lock = RLock()
        """Held while DALI is given a batch or asked for one, and during a fork."""
        self._moving: _Moving[AnyCrops] | None = None
        self._arrived: _Arrived | None = None
        """Of the batch that DALI has, where a fork asked for it."""
        self._copying: deque[_Copying] = deque()
        self._pipeline: Any = build_pipeline(slabs.shape[0], self._device)
        _prefetches.add(self)

    def __next__(self) -> tuple[AnyCrops, Tensor]:
        """The next batch; waits until it is read and DALI is through with it."""
        self._guard.check()
        if not self._ahead.fill() and self._moving is None:
            raise StopIteration
        moving = self._moving or self._feed()
        with self.lock:
            self._moving = None
            pcm = self._receive(moving)
        following = next(iter(self._ahead), None)
        if following is not None and following.is_read():
            self._feed()
        return moving.crops, pcm

    def cancel(self) -> None:
        """Forget what is in flight. Slabs being read into go with it: a thread may still be writing there."""
        self._ahead.cancel()
        self._moving = self._arrived = None
        self._pipeline = None  # with what it holds; whether it was still in order does not matter
        while self._copying:
            self._copying.popleft().done.synchronize()

    def settle(self) -> None:
        """Wait until DALI has nothing to do; the caller holds the lock."""
        if self._moving is not None and self._arrived is None:
            self._arrived = self._outputs()

    def _feed(self) -> _Moving[AnyCrops]:
        """Give DALI the first batch being read, once it is read."""
        ready = self._ahead.take()
        # An array, not a tensor: for a torch tensor DALI asks for a CUDA stream, even where there is no CUDA.
        pcm: Pcm = self._slabs.lend(ready.slab, ready.rows).numpy()
        with self.lock:
            if self._pipeline is None:
                self._pipeline = build_pipeline(self._slabs.shape[0], self._device)
            if self._device.type == "cpu":
                self._pipeline.feed_input("pcm", pcm)
            else:  # DALI does not see by itself that memory is page-locked, and would copy once more
                with torch.cuda.device(self._device):
                    wrapped = import_module("nvidia.dali.tensors").TensorListCPU(pcm, "", is_pinned=self._slabs.pinned)
                    self._pipeline.feed_input("pcm", wrapped)
            self._pipeline.schedule_run()
            self._moving = _Moving(ready.crops, pcm)
            return self._moving

    def _outputs(self) -> _Arrived:
        """What DALI has made of the batch it was given."""
        if self._device.type == "cpu":
            (output,) = self._pipeline.outputs()
            return _Arrived(output, None)
        stream = torch.cuda.current_stream(self._device)
        (output,) = self._pipeline.outputs(cuda_stream=stream)  # the stream waits for the batch, the host does not
        return _Arrived(output, stream)

    def _receive(self, moving: _Moving[AnyCrops]) -> Tensor:
        """DALI's batch as a tensor that is the caller's alone."""
        arrived, self._arrived = self._arrived, None
        if arrived is None:
            arrived = self._outputs()
        if self._device.type == "cpu":
            return torch.utils.dlpack.from_dlpack(arrived.output.as_tensor())
        with torch.cuda.device(self._device):
            return self._receive_on_gpu(moving, arrived)

    def _receive_on_gpu(self, moving: _Moving[AnyCrops], arrived: _Arrived) -> Tensor:
        while self._copying and self._copying[0].done.query():
            self._copying.popleft()
        stream = torch.cuda.current_stream(self._device)
        if arrived.stream is not None and arrived.stream != stream:
            stream.wait_stream(arrived.stream)
        output = arrived.output
        # Memory of torch's own: only that may be used on any stream and freed at any time. It costs 2 x 23 MB of the
        # GPU's memory bandwidth for 96 pairs, some 20 us.
        on_device = torch.empty(moving.pcm.shape, dtype=torch.int16, device=self._device)
        copy = import_module("nvidia.dali.plugin.pytorch").feed_ndarray
        copy(output.as_tensor(), on_device, cuda_stream=stream)
        done = torch.cuda.Event()
        done.record(stream)
        self._copying.append(_Copying(done, moving.pcm, output))
        return on_device
