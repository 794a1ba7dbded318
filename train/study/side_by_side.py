"""Several shares of a study at a time on one machine, each a command of its own with its own log."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import click
from tqdm import tqdm

LOOK_EVERY = 2.0
"""Seconds between looks at what is finished."""


def run_shares(command: Sequence[str], shares: int, out: Path, total: int, finished: Callable[[], int]) -> list[str]:
    """Run ``command --only I/N`` for every I at once, to their end or to a signal.

    Args:
        command: of one share, without ``--only``.
        shares: N.
        out: holds share-I.log of each.
        total: pieces of work in all of them.
        finished: how many are done.

    Returns:
        For every share that failed its log and how it ended.

    Raises:
        SystemExit: a signal stopped it: 130 after Ctrl-C, else 0, because the same command goes on.
    """
    logs = [out / f"share-{number}.log" for number in range(1, shares + 1)]
    with ExitStack() as stack:
        files = [stack.enter_context(log.open("ab")) for log in logs]
        words = [[sys.executable, *command, "--only", f"{place}/{shares}"] for place in range(1, shares + 1)]
        processes: list[subprocess.Popen[bytes]] = []
        heard: list[int] = []

        def pass_on(number: int, _frame: FrameType | None) -> None:
            heard.append(number)
            for process in processes:
                process.send_signal(number)  # Ctrl-C of a terminal reaches them anyway, and twice does no harm

        before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
        try:
            for each, file in zip(words, files, strict=True):
                processes.append(subprocess.Popen(each, stdout=file, stderr=subprocess.STDOUT))
                if heard:  # while it was started, so the signal was not passed on to it
                    processes[-1].send_signal(heard[-1])
            _wait(processes, total, finished)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if heard:
        click.echo("stopped; the same command goes on from there", err=True)
        sys.exit(130 if heard[0] == signal.SIGINT else 0)
    return [
        f"{log} ({_ending(process.returncode)})"
        for log, process in zip(logs, processes, strict=True)
        if process.returncode
    ]


def _ending(status: int) -> str:
    # A share that was killed, for want of memory perhaps, had no time to say so in its log.
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _wait(processes: Sequence[subprocess.Popen[bytes]], total: int, finished: Callable[[], int]) -> None:
    with tqdm(total=total, desc="study", unit="unit") as bar:
        while True:
            bar.update(finished() - bar.n)
            waiting = [process for process in processes if process.poll() is None]
            if not waiting:
                bar.update(finished() - bar.n)
                return
            try:
                waiting[0].wait(LOOK_EVERY)
            except subprocess.TimeoutExpired:
                continue
