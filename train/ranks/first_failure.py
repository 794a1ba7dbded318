"""What befell the first process that failed, told by every other one in one line.

Whoever fails first leaves rank, host and message in the store of the rendezvous. A thread of every process looks there
twice a second, because a collective that one rank never enters does not return on the others: gloo notices an ended
process by its closed connections, nccl may not notice it before its time-out of ten minutes.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # public, and not marked as exported
from torch.distributed.distributed_c10d import PrefixStore

from clmr.collectives import rank, world_size
from clmr.errors import ClmrError

INTERVAL = 0.5
"""Seconds between two looks."""
SILENCE = 120.0
"""After so many seconds without a sign of life a process counts as gone: its machine is down or cut off."""
LINGER = 5.0
"""Longest that a failed process waits for the others to have read its message: torchrun ends them when it goes."""
GRACE = 15.0
"""So long the main thread may take to see what broke and to end in order; then the process ends without it."""

BROKEN = r"Connection (closed|reset) by peer|Broken pipe|Connection refused|Socket closed|NCCL"
"""What torch says on the ranks that wait for one that has ended."""
GONE = (
    "another process of this run ended without a word (killed, out of memory, or its machine is down); "
    "the same command goes on from the last checkpoint"
)
SECRET = re.compile(r"KEY|SECRET|TOKEN|PASS|CREDENTIAL|SAS|CONNECTION_STRING", re.IGNORECASE)
LOGIN = re.compile(r"(?<=://)[^/\s@]+@")


def described(error: BaseException) -> str:
    """An error in one line, as :func:`clmr.errors.one_line_errors` has it, without secrets of environment and URLs."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError):
        text = f"{error.strerror or text}{f': {error.filename}' if error.filename else ''}"
    elif isinstance(error, KeyboardInterrupt):
        text = "interrupted"
    elif not isinstance(error, ClmrError):
        text = f"{type(error).__name__}: {text}"
    for name, value in os.environ.items():
        secret = " ".join(value.split())
        if SECRET.search(name) and len(secret) >= 6:
            text = text.replace(secret, "***")
    return LOGIN.sub("***@", text)


@dataclass(frozen=True)
class Failure:
    """What the first process that failed leaves for the others."""

    text: str
    rank: int | None = None
    """None where nobody knows who it was."""
    host: str = ""
    mute: bool = True
    """Whether it said nothing itself, and reads nothing any more."""

    def __str__(self) -> str:
        return self.text if self.rank is None else f"rank {self.rank} on host {self.host} failed: {self.text}"


class Watch:
    """Looks after the other processes of a run, in a thread of its own, until :meth:`close`."""

    def __init__(self) -> None:
        """Every rank must make one at the same time, when it has joined the others."""
        # torchrun may keep one store over its restarts: what was left there by a former start must not be read.
        name = [secrets.token_hex(8)]
        dist.broadcast_object_list(name, src=0, device=torch.device("cpu"))
        # A connection of its own: a request that waits, as those of nccl do, holds up all others of its connection.
        store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
        self._store = PrefixStore(f"first-failure-{name[0]}", store)
        self._over = threading.Event()
        self._told = False
        self._torchrun = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        self._store.set(f"host-{rank()}", socket.gethostname())
        self._neighbour = (rank() + 1) % world_size()
        self._beats, self._heard = 0, time.monotonic()
        self._thread = threading.Thread(target=self._look, name="first failure", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End in order; every rank must call it. None leaves while another still looks into a store that it holds."""
        _meet()  # with a sign of life until the last one is here: rank 0 may wait for an upload
        self._stop()
        _meet()
        if self._told:
            raise SystemExit(1)

    def failed(self, error: BaseException) -> BaseException:
        """What this process is to end with, now that ``error`` ended its work: that, or what befell the first one."""
        broken = isinstance(error, RuntimeError) and re.search(BROKEN, str(error))
        mine = Failure(GONE) if broken else Failure(described(error), rank(), socket.gethostname(), mute=False)
        self._stop()
        try:
            first = self._leave(mine)
            self._acknowledge(first)
        except RuntimeError:  # the store went with the process that held it
            first = mine
        if self._told:
            return SystemExit(1)
        if isinstance(error, KeyboardInterrupt) or (first == mine and not broken):
            return error
        return ClmrError(str(first))

    def _stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(INTERVAL):
            try:
                first = self._read() or self._silence()
            except RuntimeError:  # likewise
                first = Failure(GONE)
                # Where torchrun is gone nothing else tells the main thread: collectives work without it.
                if self._left_alone() and callable(signal.getsignal(signal.SIGTERM)):
                    os.kill(os.getpid(), signal.SIGTERM)
            if first is not None:
                self._told = True
                print(f"error: {first}", file=sys.stderr, flush=True)  # at once: torchrun may leave no time for more
                with suppress(RuntimeError):
                    self._store.add("acknowledged", 1)
                if not self._over.wait(GRACE):
                    with suppress(RuntimeError):
                        self._acknowledge(first)  # the store may be this process's
                    os._exit(1)
                return

    def _read(self) -> Failure | None:
        """What befell the first process, None while all are well; RuntimeError where torchrun is gone."""
        if self._left_alone():
            raise RuntimeError("torchrun was killed")
        if not self._store.check(["first"]):
            return None
        return Failure(**json.loads(self._store.get("first")))

    def _left_alone(self) -> bool:
        return self._torchrun not in {None, os.getppid()}

    def _silence(self) -> Failure | None:
        """Give a sign of life, and see whether the next rank does."""
        self._store.add(f"alive-{rank()}", 1)
        beats = self._store.add(f"alive-{self._neighbour}", 0)
        now = time.monotonic()
        if beats != self._beats:
            self._beats, self._heard = beats, now
        if now - self._heard < SILENCE:
            return None
        host = self._store.get(f"host-{self._neighbour}").decode()
        text = f"nothing was heard of it for {SILENCE:.0f} s; its machine is down or cut off"
        return self._leave(Failure(text, self._neighbour, host))

    def _leave(self, failure: Failure) -> Failure:
        """Leave a message, unless another one is there; the one that is there now."""
        return Failure(**json.loads(self._store.compare_set("first", "", json.dumps(asdict(failure)))))

    def _acknowledge(self, first: Failure) -> None:
        """Wait until all that can have read the message."""
        target, end = world_size() - first.mute, time.monotonic() + LINGER
        read = self._store.add("acknowledged", 0 if self._told else 1)
        while read < target and time.monotonic() < end:
            time.sleep(INTERVAL / 5)
            read = self._store.add("acknowledged", 0)


def _meet() -> None:
    """Wait for all ranks, and then until gloo has let go of the tensor they met by.

    A thread of gloo that lets go of one while the interpreter ends aborts the process, which then counts as failed.
    """
    token = torch.zeros(())
    dist.all_reduce(token)
    held, end = weakref.ref(token), time.monotonic() + LINGER
    del token
    while held() is not None and time.monotonic() < end:
        time.sleep(0.001)


@contextmanager
def watched() -> Iterator[None]:
    """Watch over the other processes while the context lasts; every rank must enter it, having joined the others.

    Raises:
        ClmrError: another process failed first; the message says which and why.
    """
    watch = Watch()
    try:
        yield
        watch.close()
    except BaseException as error:
        outcome = watch.failed(error)
        if outcome is error:
            raise
        raise outcome from error
