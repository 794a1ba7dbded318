"""Ceph's RADOS Gateway, a real S3 server, on loopback: one monitor, one store in memory, one gateway, no root needed.

Debian and Ubuntu: ``apt-get install --no-install-recommends ceph-mon ceph-osd radosgw``. It is up in about a second and
ends with the process that started it, even where that is killed. The monitor waits for the disk after each of its
dozens of notes; so that a busy disk does not hold it up, its 40 MB lie in memory where there is room.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.servers.s3 import Server, free_ports
from tests.servers.signed import request

KEYS = ("testkey", "test-secret-of-ceph")
STARTS = 2  # a start may lose a port to another process between the choice and the listening
MEMORY = Path("/dev/shm")  # noqa: S108  # a private folder is made in it

CONFIGURATION = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{monitor}]
public_network = 127.0.0.0/8
auth_supported = none
keyring = /dev/null
ms_mon_client_mode = crc
ms_crc_data = false
run_dir = {folder}/run
crash_dir = {folder}/crash
log_file = {folder}/$name.log
admin_socket =
debug_default = 0/0
debug_rgw = 0/0
mon_data = {memory}/mon
mon_data_avail_crit = 0
mon_allow_pool_size_one = true
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_enable_apis = s3
rgw_bucket_quota_ttl = 0
osd_client_watch_timeout = 1
"""


class Ceph(Server):
    """A running gateway."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(f"http://127.0.0.1:{port}", *KEYS)
        self._folder = folder
        self.gateway: subprocess.Popen[bytes] | None = None
        # The kernel ends a child with the thread that started it; this one lives as long as the process.
        self._starter = ThreadPoolExecutor(1)

    def start(self) -> None:
        """Start the gateway, again where it was killed."""
        self.gateway = self.spawn("radosgw", "-n", "client.rgw")
        self.wait(self.gateway)

    def kill(self) -> None:
        """Kill the gateway; what is in the buckets stays."""
        assert self.gateway
        self.gateway.kill()
        self.gateway.wait()

    def pause(self) -> None:
        """Let the gateway hang: connections stand, nothing is answered."""
        assert self.gateway
        self.gateway.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.gateway
        self.gateway.send_signal(signal.SIGCONT)

    def quota(self, bucket: str, size: int) -> None:
        """Limit what a bucket may hold, in bytes."""
        scope = ("--quota-scope=bucket", f"--bucket={bucket}")
        for number in range(100):  # a gateway that was stopped just now may not hear of it the first time
            self.run("radosgw-admin", "quota", "set", *scope, f"--max-size={size + number}")
            self.run("radosgw-admin", "quota", "enable", *scope)
            too_much = bytes(size + (1 << 20))
            status, _ = request(self.endpoint, self.keys, "PUT", f"/{bucket}/too-much", body=too_much)
            if status == 403:
                return
            self.request("DELETE", f"/{bucket}/too-much")
        raise AssertionError(f"the quota of {bucket} has no effect")

    def spawn(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a daemon that ends when this process does."""
        configured = (*command, "-c", f"{self._folder}/ceph.conf", "-f")
        with (self._folder / f"{command[0]}.out").open("ab") as output:
            return self._starter.submit(
                subprocess.Popen,
                ["setpriv", "--pdeathsig", "KILL", *configured],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            ).result()

    def run(self, *command: str) -> None:
        """Run a command against the cluster."""
        done = subprocess.run(
            [command[0], "-c", f"{self._folder}/ceph.conf", *command[1:]],
            check=False,
            timeout=60,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}{self.logs()}"

    def logs(self) -> str:
        """The ends of what the daemons wrote."""
        written = sorted([*self._folder.glob("*.out"), *self._folder.glob("*.log")])
        return "".join(f"\n{path.name}: {path.read_text(errors='replace')[-1000:]}" for path in written)


def _memory(folder: Path) -> Path:
    """A new folder in memory, or in ``folder`` where there is none or little of it."""
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 1 << 30
    return Path(tempfile.mkdtemp(prefix="clmr-ceph-", dir=MEMORY if roomy else folder))


def _started(folder: Path, memory: Path, daemons: list[subprocess.Popen[bytes]]) -> Ceph:
    """Start a fresh server in two empty folders; what runs is in ``daemons``, also where the start fails."""
    port, monitor = free_ports(2)
    for place in (memory / "mon", folder / "osd", folder / "run", folder / "crash"):
        place.mkdir(parents=True)
    fsid, osd = uuid.uuid4(), uuid.uuid4()
    text = CONFIGURATION.format(fsid=fsid, folder=folder, memory=memory, port=port, monitor=monitor)
    (folder / "ceph.conf").write_text(text)
    server = Ceph(folder, port)
    at, monmap = f"[v2:127.0.0.1:{monitor}]", str(folder / "monmap")
    server.run("monmaptool", "--create", "--addv", "a", at, "--fsid", str(fsid), monmap)
    server.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
    daemons.append(server.spawn("ceph-mon", "-i", "a"))
    server.run("ceph", "--connect-timeout", "40", "osd", "new", str(osd))
    server.run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", str(osd))
    daemons.append(server.spawn("ceph-osd", "-i", "0"))
    keys = (f"--access-key={KEYS[0]}", f"--secret-key={KEYS[1]}")
    server.run("radosgw-admin", "user", "create", "--uid=test", "--display-name=test", *keys)
    try:
        server.start()
    except AssertionError:
        server.kill()
        raise
    return server


def _end(daemons: list[subprocess.Popen[bytes]]) -> None:
    """Nothing is kept, so nothing has to be put in order."""
    while daemons:
        daemon = daemons.pop()
        daemon.kill()
        daemon.wait()


@contextmanager
def running(folder: Path) -> Iterator[Ceph]:
    """A fresh server; all it holds is gone when the context ends.

    Args:
        folder: an empty folder for its files.
    """
    daemons: list[subprocess.Popen[bytes]] = []
    memory = _memory(folder)
    server = None
    try:
        for number in range(STARTS):
            try:
                server = _started(folder / f"start-{number}", memory / f"start-{number}", daemons)
                break
            except (AssertionError, subprocess.TimeoutExpired):
                _end(daemons)
                if number + 1 == STARTS:
                    raise
        assert server
        yield server
    finally:
        if server and server.gateway:
            daemons.append(server.gateway)
        _end(daemons)
        shutil.rmtree(memory, ignore_errors=True)
