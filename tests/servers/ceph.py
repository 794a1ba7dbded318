"""Ceph's RADOS Gateway, a real S3 server, on loopback: one monitor, one store in memory, one gateway, no root needed.

Debian and Ubuntu: ``apt-get install --no-install-recommends ceph-mon ceph-osd radosgw``. It is up in about a second and
ends with the process that started it, even where that is killed.
"""

from __future__ import annotations

import signal
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.servers.s3 import Server, free_ports
from tests.servers.signed import request

KEYS = ("testkey", "test-secret-of-ceph")

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
mon_data = {folder}/mon
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
        self._gateway: subprocess.Popen[bytes] | None = None
        # The kernel ends a child with the thread that started it; this one lives as long as the process.
        self._starter = ThreadPoolExecutor(1)

    def start(self) -> None:
        """Start the gateway, again where it was killed."""
        self._gateway = self.spawn("radosgw", "-n", "client.rgw")
        self.wait(self._gateway)

    def kill(self) -> None:
        """Kill the gateway; what is in the buckets stays."""
        assert self._gateway
        self._gateway.kill()
        self._gateway.wait()

    def pause(self) -> None:
        """Let the gateway hang: connections stand, nothing is answered."""
        assert self._gateway
        self._gateway.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._gateway
        self._gateway.send_signal(signal.SIGCONT)

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
        return "".join(f"\n{path.name}: {path.read_text()[-1000:]}" for path in sorted(self._folder.glob("*.out")))


@contextmanager
def running(folder: Path) -> Iterator[Ceph]:
    """A fresh server; all it holds is gone when the context ends.

    Args:
        folder: an empty folder for its files.
    """
    port, monitor = free_ports(2)
    for name in ("mon", "osd", "run", "crash"):
        (folder / name).mkdir(parents=True)
    fsid, osd = uuid.uuid4(), uuid.uuid4()
    text = CONFIGURATION.format(fsid=fsid, folder=folder, port=port, monitor=monitor)
    (folder / "ceph.conf").write_text(text)
    server = Ceph(folder, port)
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        at, monmap = f"[v2:127.0.0.1:{monitor}]", str(folder / "monmap")
        server.run("monmaptool", "--create", "--addv", "a", at, "--fsid", str(fsid), monmap)
        server.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        daemons.append(server.spawn("ceph-mon", "-i", "a"))
        server.run("ceph", "--connect-timeout", "20", "osd", "new", str(osd))
        server.run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", str(osd))
        daemons.append(server.spawn("ceph-osd", "-i", "0"))
        keys = (f"--access-key={KEYS[0]}", f"--secret-key={KEYS[1]}")
        server.run("radosgw-admin", "user", "create", "--uid=test", "--display-name=test", *keys)
        server.start()
        yield server
    finally:
        if server._gateway:
            daemons.append(server._gateway)
        for daemon in reversed(daemons):  # nothing is kept, so nothing has to be put in order
            daemon.kill()
            daemon.wait()
