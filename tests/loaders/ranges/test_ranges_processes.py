"""Real processes that end, are interrupted or fork while requests are under way."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.servers.web import Quiet, files_of, serving

BEGIN = """
import os, sys
import numpy as np
from clmr.errors import ClmrError, one_line_errors
from loaders.ranges.source import RangesSource
from loaders.reading.slabs import Slab
from loaders.reading.source import Reads
from sharding.storage import place_at

source = RangesSource(place_at(sys.argv[1]), ["shard.tar"], [1_000_000], in_flight=64, gap=0)

def read():
    slab = Slab((50, 2, 2000), pinned=False)
    return source.submit([Reads(slab, np.arange(100), np.zeros(100, np.int64), 10_000 * np.arange(100))])
"""

ENDS = f"""{BEGIN}
futures = read()
sys.stdin.readline()
print("ends", flush=True)
"""

WAITS = f"""{BEGIN}
@one_line_errors()
def main():
    futures = read()
    print("waits", flush=True)
    futures[0].result()

main()
"""

FORKS = f"""{BEGIN}
read()[0].result()
if os.fork() == 0:
    for use in (read, lambda: place_at(sys.argv[1] + "/else").size("shard.tar"), lambda: source.close()):
        try:
            use()
        except ClmrError as error:
            print(error, flush=True)
    os._exit(0)
os.wait()
read()[0].result()
print("the parent goes on")
"""


@pytest.fixture(params=["silent", "busy"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, threading.Event]]:
    """The address of a server that has the shard and never sends it, and what tells that it was asked."""
    asked, over = threading.Event(), threading.Event()

    class Handler(Quiet):
        def head(self) -> None:
            self.reply(200)

        def get(self) -> None:
            asked.set()
            if request.param == "busy":
                self.reply(503)
            else:
                over.wait(100)
                self.close_connection = True

    with serving(Handler) as address:
        yield address, asked
        over.set()


def start(script: str, address: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, address]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# Retries go on for 2 minutes and a silent server is waited for 30 s: a process that waits for either is still there
# after 20 s.


def test_the_end_of_the_program_waits_for_no_server(server: tuple[str, threading.Event]) -> None:
    address, asked = server
    with start(ENDS, address) as process:
        assert asked.wait(100)
        output, errors = process.communicate("go on\n", timeout=20)
    assert (process.returncode, output, errors) == (0, "ends\n", "")


def test_an_interrupt_waits_for_no_server(server: tuple[str, threading.Event]) -> None:
    address, asked = server
    with start(WAITS, address) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        assert asked.wait(100)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "interrupted; run the same command again to go on\n")


def test_a_program_ends_in_full_flight() -> None:
    """Threads that come back from a request while the interpreter ends must not abort it."""
    with serving(files_of({"shard.tar": bytes(1_000_000)})) as address:
        script = ENDS.replace("futures = read()", "futures = [read() for _ in range(100)]; futures[0][0].result()")
        with start(script, address) as process:
            output, errors = process.communicate("go on\n", timeout=60)
        assert (process.returncode, output, errors) == (0, "ends\n", "")


def test_a_forked_process_is_refused_instead_of_hanging() -> None:
    with serving(files_of({"shard.tar": bytes(1_000_000)})) as address, start(FORKS, address) as process:
        output, errors = process.communicate(timeout=60)
    lines = output.splitlines()
    assert errors == ""
    assert "threads do not survive fork(); make the loader in the process that reads from it" in lines[0]
    assert "object storage was used before this process was forked" in lines[1]
    assert lines[2:] == ["the parent goes on"]
