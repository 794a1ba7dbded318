"""The study corpus, drawn; and a player of it."""

from __future__ import annotations

import pytest

from sharding.study.corpus import draw_corpus
from sharding.study.fluid import Player, find_player
from sharding.study.take import Take


@pytest.fixture(scope="session")
def takes() -> list[Take]:
    """All tracks of the corpus of size ``cpu``, not played."""
    return draw_corpus("cpu")


@pytest.fixture(scope="session")
def player() -> Player:
    return find_player()
