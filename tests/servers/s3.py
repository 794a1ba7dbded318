"""An S3 server for tests, on loopback, started once per run and stopped at its end: Ceph, or moto where there is none.

A test that needs one wears :data:`needs_s3` and asks for ``bucket``. What only a real server can show (quotas, outages,
wrong keys) wears ``needs("radosgw")`` and asks for ``ceph`` too.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.servers.signed import request

SIMULATED = not shutil.which("radosgw") and bool(shutil.which("moto_server"))
needs_s3 = pytest.mark.needs("moto_server" if SIMULATED else "radosgw")
_numbers = count()


class Server:
    """An S3 server: where it is, the keys of its one user, and what tests do behind the back of the code they test."""

    def __init__(self, endpoint: str, access_key: str, secret_key: str) -> None:
        self.endpoint = endpoint
        self.keys = (access_key, secret_key)

    def environment(self) -> dict[str, str]:
        """The environment variables with which a program finds it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.keys[0],
            "AWS_SECRET_ACCESS_KEY": self.keys[1],
        }

    def new_bucket(self) -> str:
        """Make an empty bucket; its name."""
        name = f"bucket-{next(_numbers)}"
        assert self.request("PUT", f"/{name}") == b""
        return name

    def request(self, method: str, path: str, query: dict[str, str] | None = None, body: bytes = b"") -> bytes:
        """A signed request that must succeed; the answer."""
        status, answer = request(self.endpoint, self.keys, method, path, query, body)
        assert status < 300, (method, path, status, answer)
        return answer

    def keys_in(self, bucket: str) -> list[str]:
        """The keys of the objects in a bucket, unless they hold characters that XML escapes."""
        return re.findall("<Key>(.*?)</Key>", self.request("GET", f"/{bucket}", {"list-type": "2"}).decode())

    def uploads(self, bucket: str) -> list[str]:
        """The keys of multipart uploads that are neither complete nor aborted."""
        return re.findall("<Key>(.*?)</Key>", self.request("GET", f"/{bucket}", {"uploads": ""}).decode())

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it answers."""
        for _ in range(1200):
            assert process.poll() is None, f"{process.args!r} ended"
            try:
                request(self.endpoint, self.keys, "GET", "/")
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"{self.endpoint} does not answer")


def free_ports(number: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports: list[int] = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server of this run."""
    folder = tmp_path_factory.mktemp("s3")
    if SIMULATED:
        reporter = request.config.pluginmanager.get_plugin("terminalreporter")
        assert reporter
        reporter.write_line("\nradosgw is not installed: S3 is simulated by moto")
        yield from _moto(folder)
    else:
        from tests.servers import ceph

        with ceph.running(folder) as server:
            yield server


@pytest.fixture
def bucket(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty bucket; the environment holds what it takes to use it, for child processes too."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_server.new_bucket()}"


def _moto(folder: Path) -> Iterator[Server]:
    (port,) = free_ports(1)
    with (folder / "moto.out").open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "moto_server", "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        server = Server(f"http://127.0.0.1:{port}", "testkey", "test-secret-of-moto")
        server.wait(process)
        yield server
    finally:
        process.kill()
        process.wait()
