"""Settings of a loader that cannot be meant are refused before anything is opened."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clmr.errors import ConfigError
from loaders import PairSettings
from loaders.settings import parse_size


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shards": ()}, "no shards are given"),
        ({"backend": "tensorflow"}, "backend 'tensorflow' is not known; one of auto, torch"),
        ({"access": "ftp"}, "access 'ftp' is not known; one of auto, files"),
        ({"depth": 0}, "depth is 0"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"shards": (("x", 1.0), ("x/", 2.0)), "window": 0}, "named twice"),
        ({"shuffle": 5}, "shuffle belongs to the webdataset backend"),
        ({"shuffle": 0, "backend": "webdataset"}, "shuffle is 0"),
        ({"pairs_per_read": 0}, "pairs per read is 0"),
        ({"window": -1}, "window is -1"),
        ({"window": (2, 3)}, "one for each data set"),
        ({"cache_bytes": 0}, "the cache may hold 0 bytes"),
        ({"quiet_db": 0.0}, "quiet_db is 0.0"),
        ({"quiet_db": float("nan")}, "quiet_db is nan"),
    ],
)
def test_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        PairSettings(**{"shards": (("x", 1.0),), "batch_size": 8, **change})


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("7", 7),
        ("7B", 7),
        ("1.5k", 1500),
        ("2KiB", 2048),
        ("3 MB", 3_000_000),
        ("200GiB", 200 * 2**30),
        ("1tb", 10**12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@given(st.text(alphabet=" -+.,xeKMGTiB").filter(lambda text: not text.isdigit()))
def test_texts_without_digits_are_no_sizes(text: str) -> None:
    with pytest.raises(ConfigError, match="is no size: give bytes"):
        parse_size(text)
