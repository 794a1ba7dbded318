"""Stages in a row, with small programs: skipping, failing, stopping."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from clmr.errors import ConfigError
from sharding.publish import claimed
from tests.train.runner.small_stages import FAILS, WAITS, WORKS, stage, unit
from train.runner.execution import Failure, end, execute
from train.runner.stages import Stage


def test_a_failure_is_named_and_the_others_go_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad = unit(stage(tmp_path / "bad" / "first", FAILS), stage(tmp_path / "bad" / "second", WORKS))
    good = unit(stage(tmp_path / "good" / "first", WORKS))
    failures = execute([bad, good])
    assert failures == [Failure("bad", "first, exit status 3")]
    assert not (tmp_path / "bad" / "second").exists()
    assert (tmp_path / "good" / "first" / "result").read_text() == "a"
    with pytest.raises(ConfigError, match=r"1 of 2 failed: bad \(first, exit status 3\)"):
        end(failures, [bad, good])
    end([], [good])
    assert "failed: bad: first, exit status 3" in capfd.readouterr().err


def test_what_is_finished_is_skipped_until_its_command_or_its_sources_change(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    source.touch()
    first = stage(tmp_path / "unit" / "first", WORKS, made_of=(source,))

    def skipped(each: Stage) -> bool:
        assert execute([unit(each)]) == []
        return "first: finished before" in capfd.readouterr().out

    assert not skipped(first)
    assert skipped(first)
    assert not skipped(stage(tmp_path / "unit" / "first", WORKS, "b", (source,)))
    assert (first.out / "result").read_text() == "b"
    later = time.time() + 10
    os.utime(source, (later, later))
    assert not stage(tmp_path / "unit" / "first", WORKS, "b", (source,)).finished()
    source.unlink()
    assert not first.finished()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGUSR1, 0)])
def test_a_schedulers_signal_reaches_the_command_and_ends_the_plan(tmp_path: Path, number: int, status: int) -> None:
    waiting = stage(tmp_path / "one" / "first", WAITS.replace("SIGTERM", signal.Signals(number).name))
    after = stage(tmp_path / "two" / "first", WORKS)

    def send() -> None:
        while not (waiting.out / "ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()
    with pytest.raises(SystemExit) as stopped:
        execute([unit(waiting), unit(after)])
    assert stopped.value.code == status
    assert (waiting.out / "heard").exists()
    assert not after.out.exists()
    assert not waiting.finished()


def test_ctrl_c_ends_the_plan_with_130(tmp_path: Path) -> None:
    """A terminal sends it to the command as well; here the command is let be and ends by itself."""
    slow = stage(tmp_path / "one" / "first", WAITS.replace("time.sleep(60)", "time.sleep(0.3)"))

    def send() -> None:
        while not (slow.out / "ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=send, daemon=True).start()
    with pytest.raises(SystemExit) as stopped:
        execute([unit(slow), unit(stage(tmp_path / "two" / "first", WORKS))])
    assert stopped.value.code == 130
    assert not (tmp_path / "two" / "first").exists()


def test_a_command_that_outlived_its_runner_is_waited_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What it has done by then is not done again."""
    late = stage(tmp_path / "one" / "first", FAILS)
    held = threading.Event()

    def outlive() -> None:
        with claimed(late.out):
            held.set()
            time.sleep(0.5)
            (late.out / "result").write_text("a")
            late.conclude()

    other = threading.Thread(target=outlive)
    other.start()
    held.wait()
    assert execute([unit(late)]) == []
    other.join()
    printed = capfd.readouterr()
    assert "waiting: another process is working in" in printed.err
    assert "first: finished before" in printed.out
