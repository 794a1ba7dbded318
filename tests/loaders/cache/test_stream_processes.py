"""Several processes on one cache: each shard comes once, the limit holds, nobody waits for a process that is dead."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.cache.content import cache_content, clear
from loaders.cache.folder import charge
from tests.loaders.stream_data import Remote, noise, served, size_of, until
from tests.loaders.stream_worker import Work, Worker

NUMBER, SIZE = 8, 200_000
ROOM = charge(SIZE + NUMBER)  # for one shard


@pytest.fixture
def remote() -> Iterator[Remote]:
    with served(noise(NUMBER, SIZE)) as remote:
        yield remote


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def start(remote: Remote, root: Path, shards: float, order: tuple[int, ...], **options: Any) -> Worker:
    """A process with a cache for so many shards, two of which it needs."""
    limit = int(shards * ROOM)
    return Worker(Work(url=remote.url, root=root, limit=limit, number=NUMBER, size=SIZE, order=order, **options))


@contextmanager
def largest(root: Path) -> Iterator[list[int]]:
    """Measures all files of a folder all the time; the largest sum."""
    found, over = [0], threading.Event()

    def measure() -> None:
        while not over.wait(0.001):
            found[0] = max(found[0], size_of(root))

    thread = threading.Thread(target=measure)
    thread.start()
    yield found
    over.set()
    thread.join()


def test_ranks_fetch_every_shard_once(remote: Remote, root: Path) -> None:
    remote.delay = lambda name: 0.02
    ranks = [start(remote, root, NUMBER + 1, tuple(range(NUMBER)), port="1") for _ in range(3)]
    said = [rank.end() for rank in ranks]
    assert [words[-1] for words in said] == ["over"] * 3
    assert set(remote.fetched().values()) == {1}
    assert sum(words[-2][1] for words in said) == sum(remote.sizes)


def test_jobs_with_just_enough_room_all_get_through(remote: Remote, root: Path) -> None:
    """Three jobs, room for what each needs and no more: none may hold what another waits for."""
    remote.delay = lambda name: 0.01 * int(name[0]) / NUMBER
    orders = [tuple(np.random.default_rng(job).integers(NUMBER, size=20).tolist()) for job in range(3)]
    with largest(root) as found:
        jobs = [start(remote, root, 6.1, order) for order in orders]
        assert [job.end()[-1] for job in jobs] == ["over"] * 3
    assert 4 * ROOM < found[0] <= 6.1 * ROOM


def test_jobs_that_do_not_fit_together_are_refused(remote: Remote, root: Path) -> None:
    first = start(remote, root, 3, tuple(range(NUMBER)), stay=True)
    first.hear("open")
    said = start(remote, root, 3, (0, 1)).end()
    first.kill()
    assert len(said) == 1
    assert f"the cache {root} may hold 598 KiB, and this job needs at least 398.6 KiB of shards at once" in said[0]
    assert "beside the 398.6 KiB that other jobs on it need (1): raise --cache-size to 1MiB or more for" in said[0]
    again = start(remote, root, 3, (0, 1))  # the first is dead
    assert again.end()[-1] == "over"


@pytest.mark.parametrize("port", ["", "1"], ids=["jobs", "ranks"])
def test_who_is_ahead_lets_go_for_who_waits(remote: Remote, root: Path, port: str) -> None:
    """One holds all the room, most of it ahead of use, and does not go on until the other has got through."""
    ahead = start(remote, root, 4, (4, 5, 6, 7), port=port, stay=True)
    ahead.hear(0)
    until(lambda: sum(shard.in_use for shard in cache_content(root)) == 4)
    behind = start(remote, root, 4, (0, 1, 2, 3, 4), port=port)
    assert behind.end()[-1] == "over"
    ahead.go_on()
    assert ahead.end()[-1] == "over"


def test_who_waits_for_a_killed_process_takes_over(remote: Remote, root: Path) -> None:
    sending = threading.Event()
    remote.delay = lambda name: 60 * (not sending.wait(60))
    first = start(remote, root, 5, (0, 1))
    until(lambda: len(list(root.glob("*.part"))) == 2)
    second = start(remote, root, 5, (0, 1))
    second.hear("open")
    first.kill()
    sending.set()
    assert second.end()[-1] == "over"
    assert set(root.glob("*.part")) == set()


@pytest.mark.parametrize(
    "dies",
    [
        ("Path.mkdir", 2),  # the folder is marked, and no more
        ("Path.write_text", 3),  # the second note
        ("os.ftruncate", 2),  # a part of no size
        ("os.posix_fallocate", 2),
        ("os.pwrite", 3),
        ("os.fsync", 2),  # a whole part, not published
        ("Path.rename", 2),
        ("os.utime", 3),  # letting go
        ("Path.unlink", 1),  # evicting: before the shard goes, ...
        ("Path.unlink", 2),
        ("Path.unlink", 3),  # ... and before its note goes
    ],
    ids=str,
)
def test_killed_at_any_moment(remote: Remote, root: Path, dies: tuple[str, int]) -> None:
    """Nothing that a killed process leaves behind is in the way, or taken for a shard."""
    doomed = start(remote, root, 3, tuple(range(NUMBER)), dies=dies)
    doomed.end()
    assert doomed.process.exitcode == -signal.SIGKILL
    (root / "foreign.part").write_text("somebody else's")
    with largest(root) as found:
        assert start(remote, root, 3, tuple(range(NUMBER))).end()[-1] == "over"
    assert found[0] <= 3 * ROOM
    assert_whole(remote, root)
    clear(root)
    assert sorted(path.name for path in root.iterdir()) == [".clmr-cache", "foreign.part", "jobs"]
    assert not list((root / "jobs").glob("*.job"))


def assert_whole(remote: Remote, root: Path) -> None:
    """Everything that is called a shard is one, byte for byte, and nothing is half there."""
    shards = sorted(root.glob("*.shard"))
    assert shards
    for shard in shards:
        assert shard.read_bytes() in remote.files.values()
    assert {path.stem for path in shards} == {path.stem for path in root.glob("*.json")}
    assert [path.name for path in root.glob("*.part")] == ["foreign.part"]
