"""The Python in the documentation runs as it stands, on shards at the place it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.loaders.small_shards import recordings, write_shards

ROOT = Path(__file__).resolve().parent.parent
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = ("augmentations", "checkpoints", "features", "loader")
RUN = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in NAMES)]
BLOCKS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in RUN
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    )
]
CROP = 20736  # samples, the encoder's at 8 kHz


@pytest.mark.parametrize("block", BLOCKS)
def test_python_blocks_run(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in set(re.findall(r"\"(data/shards/\w+)\"", block)):
        tracks = recordings(96, shortest=CROP, longest=CROP + 100)
        write_shards(tmp_path / place, tracks, tracks_per_shard=40, labels=("soft", "loud"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("clmr.augment.recipe.REGISTERED", {})
    exec(compile(block, "a block of documentation", "exec", dont_inherit=True), {"__name__": "documentation"})  # noqa: S102 - our own text


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_no_place_was_left_to_fill_in(path: Path) -> None:
    assert not re.findall(r"@[A-Z]+@|TODO|XXX|\bTBD\b", path.read_text("utf-8"))
