"""A node dies, the other goes on at once, the node comes back and joins: the weights are those of a quiet run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.train.launching import LAUNCHER, ROOT, SMALL, environment, flat, free_port, newest
from train.pretrain import main
from train.runs.checkpoint import checkpoint_path
from train.runs.log import read_log

# float64 after 24 steps: rounding of other orders of summation, raised by Adam, which divides by small gradients.
EXACT = 1e-7
STEPS = ["--steps", "24", "--checkpoint-every", "4", "--precision", "float64"]


class Nodes:
    """torchrun agents that meet on a loopback port, each with one process, as nodes of a cluster would."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self._folder, self._agents = folder, list[subprocess.Popen[str]]()
        quick = "last_call_timeout=1,keep_alive_interval=1,keep_alive_max_attempt=6"
        meeting = ["--nnodes", "1:2", "--nproc-per-node", "1", "--max-restarts", "3", "--rdzv-backend", "c10d"]
        self._endpoint = ("127.0.0.1", free_port())
        meeting += ["--rdzv-endpoint", f"127.0.0.1:{self._endpoint[1]}", "--rdzv-id", "elastic", "--rdzv-conf", quick]
        self._command = [*LAUNCHER, *meeting]
        self._script = ["--", str(ROOT / "tests" / "train" / "paced.py"), str(folder), *arguments]

    def start(self) -> subprocess.Popen[str]:
        """Start an agent, on an address of its own."""
        number = len(self._agents)
        with (self._folder / f"agent-{number}.txt").open("w") as output:
            agent = subprocess.Popen(
                [*self._command, "--local-addr", f"127.0.0.{number + 1}", *self._script],
                stdout=output,
                stderr=output,
                text=True,
                env={**environment(), "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
            )
        self._agents.append(agent)
        return agent

    def kill(self, agent: subprocess.Popen[str]) -> None:
        """A node loses its power: agent and workers end at once."""
        agent.send_signal(signal.SIGSTOP)  # it must not see its worker end
        for worker in Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(worker), signal.SIGKILL)
        agent.kill()
        agent.wait()

    def wait_for_endpoint(self) -> None:
        """Wait until the first agent listens."""
        for _ in range(1200):
            with suppress(OSError), socket.create_connection(self._endpoint):
                return
            time.sleep(0.05)
        raise AssertionError(self.logs())

    def wait_for(self, name: str) -> None:
        """Wait until a worker has left a file of this name."""
        while not (self._folder / name).exists():
            assert any(agent.poll() is None for agent in self._agents), self.logs()
            time.sleep(0.05)

    def logs(self) -> str:
        """What the agents and their workers printed."""
        return "\n".join(path.read_text() for path in sorted(self._folder.glob("agent-*.txt")))

    def end(self) -> None:
        """Leave nothing running."""
        for agent in self._agents:
            if agent.poll() is None:
                self.kill(agent)


@pytest.fixture
def nodes(shards: Path, tmp_path: Path) -> Iterator[Nodes]:
    each = Nodes(tmp_path, ["--shards", str(shards), "--run", str(tmp_path / "run"), *SMALL, *STEPS, "--no-ceilings"])
    yield each
    each.end()


def test_a_node_dies_and_comes_back(nodes: Nodes, shards: Path, tmp_path: Path) -> None:
    main.main(["--shards", str(shards), "--run", str(tmp_path / "quiet"), *SMALL, *STEPS], standalone_mode=False)
    staying = nodes.start()
    nodes.wait_for_endpoint()  # whoever is there first holds the rendezvous: it must be the one that stays
    lost = nodes.start()
    for rank in (0, 1):
        nodes.wait_for(f"waiting-{rank}")
    nodes.kill(lost)
    (tmp_path / "go").touch()
    nodes.wait_for("alone")  # it went on from step 8 with the whole batch
    back = nodes.start()
    assert [agent.wait(120) for agent in (staying, back)] == [0, 0], nodes.logs()
    logs = nodes.logs()
    assert "another process of this run ended without a word" in logs
    assert "stopped at step 18 of 24" in logs
    assert "step 24 of 24" in logs
    assert not checkpoint_path(tmp_path / "run", 18).exists()  # two newer ones
    quiet, elastic = (read_log(tmp_path / name) for name in ("quiet", "run"))
    assert [entry["step"] for entry in elastic] == [10, 18, 20, 24]
    losses = {entry["step"]: entry["loss"] for entry in elastic}
    assert [losses[entry["step"]] for entry in quiet] == pytest.approx([entry["loss"] for entry in quiet], rel=EXACT)
    ours, theirs = (flat(newest(tmp_path / name)["model"]) for name in ("run", "quiet"))
    assert max(float((ours[name].double() - theirs[name].double()).abs().max()) for name in theirs) < EXACT
