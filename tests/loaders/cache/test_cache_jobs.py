"""What jobs on one cache need must fit together; it is theirs as long as a process of theirs lives."""

from __future__ import annotations

from pathlib import Path

import pytest

from clmr.errors import ConfigError, StorageError
from loaders.cache.folder import CacheFolder
from loaders.cache.jobs import Membership, Situation, Statement, launched_together

GIB = 1 << 30


@pytest.fixture
def folder(tmp_path: Path) -> CacheFolder:
    return CacheFolder(tmp_path)


def situation(membership: Membership, folder: CacheFolder) -> Situation:
    with folder.locked():
        return membership.situation()


def test_the_room_is_divided(folder: CacheFolder) -> None:
    one = Membership(folder, "data", Statement(2 * GIB, 10 * GIB))
    assert situation(one, folder) == Situation(share=10 * GIB, pressed=False, jobs=1, limit=10 * GIB)
    two = Membership(folder, "data", Statement(4 * GIB, 20 * GIB))
    assert situation(one, folder) == Situation(share=4 * GIB, pressed=False, jobs=2, limit=10 * GIB)
    assert situation(two, folder) == Situation(share=6 * GIB, pressed=False, jobs=2, limit=10 * GIB)
    two.close()
    assert situation(one, folder).share == 10 * GIB
    one.close()
    assert not list(folder.jobs.glob("*.job"))


def test_what_does_not_fit_is_refused(folder: CacheFolder) -> None:
    with pytest.raises(ConfigError) as caught:
        Membership(folder, "data", Statement(3 * GIB, 2 * GIB))
    assert str(caught.value) == (
        f"the cache {folder.root} may hold 2 GiB, and this job needs at least 3 GiB of shards at once: "
        "raise --cache-size to 3072MiB or more, give a smaller --window, or another folder with --cache"
    )
    first = Membership(folder, "data", Statement(3 * GIB, 5 * GIB))
    with pytest.raises(
        ConfigError,
        match=r"beside the 3 GiB that other jobs on it need \(1\): raise --cache-size to 6144MiB or",
    ):
        Membership(folder, "data", Statement(3 * GIB, 5 * GIB))
    with pytest.raises(ConfigError, match=r"may hold 5 GiB.*: raise --cache-size to 6144MiB or more for every job"):
        Membership(folder, "data", Statement(3 * GIB, 50 * GIB))
    assert situation(first, folder).jobs == 1
    with pytest.raises(ConfigError, match="needs at least 6 GiB"):
        first.need(Statement(6 * GIB, 5 * GIB))
    first.need(Statement(4 * GIB, 5 * GIB))
    assert first.minimum == 4 * GIB
    first.close()


def test_ranks_of_a_job_state_their_need_together(folder: CacheFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the ranks are in one process; slots of its own number tell two loaders of a rank apart."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_PORT", "29500")
    need = Statement(3 * GIB, 7 * GIB)
    training, checking = (Membership(folder, "data", need) for _ in range(2))
    monkeypatch.setattr("loaders.cache.jobs._slots", set())  # as another process sees it
    ranks = [Membership(folder, "data", need) for _ in range(2)]
    assert situation(ranks[0], folder).jobs == 2
    with pytest.raises(ConfigError, match="raise"):
        Membership(folder, "other data", need)
    monkeypatch.setenv("MASTER_PORT", "29501")
    with pytest.raises(ConfigError, match="raise"):
        Membership(folder, "data", need)
    training.close()
    assert situation(checking, folder).jobs == 2
    ranks[0].close()
    assert situation(checking, folder).jobs == 1
    checking.close()
    ranks[1].close()


def test_who_waits_presses_all(folder: CacheFolder) -> None:
    one, two = (Membership(folder, "data", Statement(GIB, 5 * GIB)) for _ in range(2))
    two.wait_for_room(waiting=True)
    assert situation(one, folder).pressed
    two.wait_for_room(waiting=True)
    two.wait_for_room(waiting=False)
    assert not situation(one, folder).pressed
    two.wait_for_room(waiting=True)
    two.close()
    assert not situation(one, folder).pressed
    one.close()


def test_a_statement_that_somebody_removed(folder: CacheFolder) -> None:
    one = Membership(folder, "data", Statement(GIB, 5 * GIB))
    for path in folder.jobs.glob("*.job"):
        path.unlink()
    with pytest.raises(StorageError, match="was removed while in use"):
        situation(one, folder)
    one.close()


@pytest.mark.parametrize(
    ("environment", "together"),
    [
        ({}, ""),
        ({"MASTER_PORT": "29500"}, ""),
        ({"WORLD_SIZE": "1", "MASTER_PORT": "29500"}, ""),
        ({"WORLD_SIZE": "8"}, ""),
        ({"WORLD_SIZE": "8", "MASTER_PORT": "29500"}, " 29500 "),
        (
            {"WORLD_SIZE": "8", "MASTER_PORT": "1", "MASTER_ADDR": "node0", "TORCHELASTIC_RUN_ID": "x", "RANK": "3"},
            "node0 1 x",
        ),
    ],
)
def test_how_ranks_know_each_other(environment: dict[str, str], together: str) -> None:
    assert launched_together(environment) == together
