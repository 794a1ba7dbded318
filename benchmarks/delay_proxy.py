"""A distant server on loopback: every request waits before it is passed on, and the answers may share a slow link.

python -m benchmarks.delay_proxy http://127.0.0.1:8000 --milliseconds 25 --megabytes-per-second 100

It prints the address to use instead. Bytes pass through as they are, so signatures hold where the client signed for the
proxy's address. It does not read HTTP: what a client sends first, or first after an answer began, is a new request, and
waits; the rest follows at once. Answers are moved by splice() and never enter this process. One thread, epoll; Linux.
"""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, epoll
from urllib.parse import urlsplit

import click

MOST = 1 << 20  # bytes moved at a time, and the size of a pipe
QUANTUM = 1 << 16  # bytes moved at a time where the link is shared
BURST_SECONDS = 0.02  # what the link may catch up with after a pause of this process
SPLICE = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


@dataclass(eq=False)
class Pair:
    """A client's connection and its own to the server."""

    client: socket.socket
    server: socket.socket
    pipe: tuple[int, int]
    answered: bool = True
    """The next bytes of the client begin a request."""
    held: bool = False
    """A request is waiting in ``upward``."""
    upward: bytearray = field(default_factory=bytearray)
    """Bytes for the server."""
    inside: int = 0
    """Bytes in the pipe, for the client."""
    resting: bool = False
    """Waits for its share of the link."""
    closed: bool = False
    masks: dict[int, int] = field(default_factory=dict)
    """What epoll watches, by descriptor."""


class DelayProxy:
    """Passes connections on to a server.

    Args:
        target: host and port of the server.
        delay: seconds that every request waits.
        link: bytes per second of all answers together; None for no limit.
    """

    def __init__(self, target: tuple[str, int], delay: float, link: float | None = None) -> None:
        self._target = target
        self._delay = delay
        self._link = link
        self._budget = 0.0
        self._filled = time.monotonic()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._epoll = epoll()
        self._epoll.register(self._listener, EPOLLIN)
        self._pairs: dict[int, Pair] = {}
        self._requests: deque[tuple[float, Pair]] = deque()  # in the order in which they become due
        self._resting: deque[Pair] = deque()

    def run(self) -> None:
        """Serve until the process is stopped."""
        while True:
            for descriptor, events in self._epoll.poll(self._patience()):
                if descriptor == self._listener.fileno():
                    self._accept()
                elif pair := self._pairs.get(descriptor):
                    self._serve(pair, descriptor, events)
            self._pass_due_requests()
            self._share_link()

    def _patience(self) -> float:
        """Seconds until something is due; -1 for ever."""
        if self._resting:
            return 0.001
        return max(self._requests[0][0] - time.monotonic(), 0.0) if self._requests else -1

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket()
                for each in (client, server):
                    each.setblocking(False)
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server.connect_ex(self._target)
                pair = Pair(client, server, os.pipe2(os.O_NONBLOCK))
                with suppress(PermissionError):  # not root, and many connections: smaller pipes do
                    fcntl.fcntl(pair.pipe[1], fcntl.F_SETPIPE_SZ, MOST)
                for each in (client, server):
                    self._pairs[each.fileno()] = pair
                    pair.masks[each.fileno()] = EPOLLIN
                    self._epoll.register(each, EPOLLIN)

    def _serve(self, pair: Pair, descriptor: int, events: int) -> None:
        try:
            if descriptor == pair.client.fileno():
                if events & EPOLLOUT:
                    self._drain(pair)
                if events & (EPOLLIN | EPOLLHUP | EPOLLERR):
                    self._ask(pair)
            else:
                if events & EPOLLOUT:
                    self._send_up(pair)
                if events & (EPOLLIN | EPOLLHUP | EPOLLERR):
                    self._answer(pair)
        except BlockingIOError:
            pass
        except OSError:
            self._close(pair)

    def _ask(self, pair: Pair) -> None:
        data = pair.client.recv(QUANTUM)
        if not data:
            self._close(pair)
            return
        pair.upward += data
        if pair.answered:
            pair.answered, pair.held = False, True
            self._requests.append((time.monotonic() + self._delay, pair))
        elif not pair.held:
            self._send_up(pair)

    def _pass_due_requests(self) -> None:
        now = time.monotonic()
        while self._requests and self._requests[0][0] <= now:
            pair = self._requests.popleft()[1]
            if pair.closed:
                continue
            pair.held = False
            try:
                self._send_up(pair)
            except OSError:
                self._close(pair)

    def _send_up(self, pair: Pair) -> None:
        with suppress(BlockingIOError):
            while pair.upward and not pair.held:
                del pair.upward[: pair.server.send(pair.upward)]
        self._watch(pair)

    def _answer(self, pair: Pair) -> None:
        """Move what the server sent, as far as the client and the link take it."""
        if pair.inside or pair.resting:
            return
        most = MOST
        if self._link is not None:
            self._fill()
            if self._budget <= 0:
                pair.resting = True
                self._resting.append(pair)
                self._watch(pair)
                return
            most = QUANTUM
        moved = os.splice(pair.server.fileno(), pair.pipe[1], most, flags=SPLICE)
        if not moved:
            self._close(pair)
            return
        self._budget -= moved
        pair.answered = True
        pair.inside = moved
        self._drain(pair)

    def _drain(self, pair: Pair) -> None:
        with suppress(BlockingIOError):
            while pair.inside:
                pair.inside -= os.splice(pair.pipe[0], pair.client.fileno(), pair.inside, flags=SPLICE)
        self._watch(pair)

    def _fill(self) -> None:
        assert self._link is not None
        now = time.monotonic()
        self._budget = min(self._budget + (now - self._filled) * self._link, BURST_SECONDS * self._link)
        self._filled = now

    def _share_link(self) -> None:
        """Let those that wait for the link go on, each for a quantum, while it lasts."""
        if not self._resting:
            return
        self._fill()
        while self._resting and self._budget > 0:
            pair = self._resting.popleft()
            pair.resting = False
            if not pair.closed:
                self._watch(pair)
                self._serve(pair, pair.server.fileno(), EPOLLIN)

    def _watch(self, pair: Pair) -> None:
        """Have epoll watch what the connections can do now."""
        sending_up = bool(pair.upward) and not pair.held
        wanted = {
            pair.client: (0 if sending_up else EPOLLIN) | (EPOLLOUT if pair.inside else 0),
            pair.server: (0 if pair.inside or pair.resting else EPOLLIN) | (EPOLLOUT if sending_up else 0),
        }
        for connection, mask in wanted.items():
            if pair.masks[connection.fileno()] != mask:
                pair.masks[connection.fileno()] = mask
                self._epoll.modify(connection, mask)

    def _close(self, pair: Pair) -> None:
        if pair.closed:
            return
        pair.closed = True
        for each in (pair.client, pair.server):
            del self._pairs[each.fileno()]
            each.close()
        for end in pair.pipe:
            os.close(end)


@click.command()
@click.argument("server")
@click.option("--milliseconds", type=float, default=25.0, show_default=True, help="That every request waits.")
@click.option("--megabytes-per-second", type=float, help="That all answers together may take; by default any.")
def main(server: str, milliseconds: float, megabytes_per_second: float | None) -> None:
    """Pass requests on to SERVER, such as http://127.0.0.1:8000, each after a while; ends with Ctrl-C."""
    address = urlsplit(server)
    assert address.hostname
    assert address.port
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # four descriptors for a connection
    link = None if megabytes_per_second is None else 1e6 * megabytes_per_second
    proxy = DelayProxy((address.hostname, address.port), milliseconds / 1000, link)
    click.echo(f"http://127.0.0.1:{proxy.port}")
    with suppress(KeyboardInterrupt):
        proxy.run()


if __name__ == "__main__":
    main()
