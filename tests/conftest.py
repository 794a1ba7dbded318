"""What every test shares: programs of other people are required, and a missing one is counted, never hidden."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections import Counter
from importlib.util import find_spec
from typing import Any

import hypothesis
import pytest

from tests.servers.ceph import Ceph
from tests.servers.s3 import Server, bucket, s3_server

__all__ = ["bucket", "ceph", "s3_server"]

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# Triton reads this when a kernel is defined: kernels run in its interpreter, on the CPU, wherever the tests run.
os.environ["TRITON_INTERPRET"] = "1"

GAPS: Counter[str] = Counter()


# What a program has to be allowed to do here, beyond being installed.
RIGHTS = {"tmpfs": ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]}


def _is_there(name: str) -> bool:
    """A program on the path, a Python package written as ``module:name``, or a right written as ``right:name``."""
    kind, _, module = name.rpartition(":")
    if not kind:
        return shutil.which(name) is not None
    if kind == "right":
        program = RIGHTS[module]
        return (
            bool(shutil.which(program[0])) and not subprocess.run(program, capture_output=True, check=False).returncode
        )
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def pytest_configure(config: pytest.Config) -> None:
    # A shell's background jobs do not hear Ctrl-C, nor do the processes they start; the tests of Ctrl-C need it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers", "needs(program, module:name or right:name, ...): left out, and counted, where it is not installed"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        needed = [program for marker in item.iter_markers("needs") for program in marker.args]
        missing = [name for name in needed if not _is_there(name)]
        for program in missing:
            GAPS[program] += 1
        if missing:
            item.add_marker(pytest.mark.skip(reason=f"{', '.join(missing)} is not installed"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:  # one of several processes that run tests: the first one counts what is told
        output["gaps"] = dict(GAPS)
    elif GAPS and os.environ.get("CLMR_NO_GAPS") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Every process collects all tests, so each tells the same gaps, unless it died."""
    GAPS.update(Counter(getattr(node, "workeroutput", {}).get("gaps", {})) - GAPS)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for program, count in sorted(GAPS.items()):
        terminalreporter.write_line(f"gap: {count} tests left out because {program} is not installed")
    if GAPS and os.environ.get("CLMR_NO_GAPS"):
        terminalreporter.write_line("gap: CLMR_NO_GAPS is set, so this run fails")


@pytest.fixture
def ceph(s3_server: Server) -> Ceph:
    """The S3 server, to be stopped, paused and filled; only for tests that need radosgw."""
    assert isinstance(s3_server, Ceph)
    return s3_server
