"""A page of a run whose names are hostile and which has all parts, and a browser to open it in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.devtools import Browser
from tests.train.page.material import (
    LABELS,
    SCRIPT,
    hostile_songs,
    scores,
    write_dump,
    write_hostile_shards,
    write_log,
    write_run,
    write_scores,
)
from train.page import PageRequest, write_page


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    root = tmp_path_factory.mktemp("hostile")
    shards = write_hostile_shards(root / "shards")
    run = write_run(root / "<b>run", shards=[str(shards)], augment=SCRIPT * 20)
    write_log(run)
    write_dump(run / "features", shards, hostile_songs())
    write_scores(run / "probe", scores([*LABELS, *(f"tag {number}" for number in range(20))], heads=2))
    (run / "figures").mkdir()
    Image.new("RGB", (64, 32), "#0072B2").save(run / "figures" / "tags.png")
    (run / "figures" / "tags.json").write_text('{"title": "<b>Tags", "caption": "<i>All"}', encoding="utf-8")
    return run


@pytest.fixture(scope="session")
def hostile_page(hostile_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(PageRequest(hostile_run), tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium
