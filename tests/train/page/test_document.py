"""What stands on the page, and what it says where a part is missing or damaged."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from clmr.errors import ConfigError
from sharding.page.excerpt import encode_mp3
from tests.train.page.material import (
    SCRIPT,
    hostile_songs,
    scores,
    write_dump,
    write_lines,
    write_log,
    write_run,
    write_scores,
)
from train.page import PageRequest, write_page
from train.page.hearing import SECONDS
from train.page.nearest import NEIGHBOURS, QUERIES
from train.page.pictures import MOST_BYTES


def page_text(request: PageRequest, out: Path) -> str:
    """The words of the page."""
    document = write_page(request, out).read_text(encoding="utf-8")
    body = re.sub(r"<style>.*?</style>", "", document, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))


def test_all_parts_stand_there_and_every_name_is_escaped(hostile_page: Path, hostile_run: Path) -> None:
    document = hostile_page.read_text(encoding="utf-8")
    assert "<script" not in document
    assert "<img src=x" not in document
    assert "\u202e" not in document
    assert hostile_page.stat().st_size < 4e6
    for title in ("Curves", "Saturation", "Scores", "Neighbours", "Figures", "Settings"):
        assert f">{title}</h2>" in document
    assert document.count("<audio") == 30
    assert document.count("data:image/png") == 1, "tags.png, as it was found"
    assert "No t-SNE of the features: the validation split has fewer than two tracks" in document


def test_song_mates_are_no_neighbours_and_shared_labels_are_marked(hostile_page: Path) -> None:
    document = hostile_page.read_text(encoding="utf-8")
    cards = re.findall(r'<article class="query">.*?</article>', document, flags=re.DOTALL)
    assert len(cards) == 5
    for card in cards:
        query, *near = re.findall(r'title="((?:disc/one|&lt;script)[^"]*)"', card)
        if "one0" in query or " 1.mp3" in query:
            assert not any("one0" in each or " 1.mp3" in each for each in near), "another track of the query's song"
    first_group = next(card for card in cards if "one2.mp3" in card.split("Nearest")[0])
    assert first_group.count('class="shared"') == 2 * 3, "two labels with each of the other three of its group"
    # Of the five nearest 2 share in the query's group (0, 1, 4, 5, 6) or 3 (2, 3); of all 2 of 5, 3 of 6 and 2 of 6.
    assert "46% of the nearest 5 share a label with their query" in document
    assert "of tracks drawn at random 40% do" in document


def test_a_run_with_nothing_names_the_commands(tmp_path: Path) -> None:
    run = write_run(tmp_path / "bare", shards=["data/my shards=0.5", "b=0.5"])
    text = page_text(PageRequest(run), tmp_path / "report.html")
    assert "0 of 10" in text
    assert "No step is in log.jsonl yet" in text
    assert f"python train/embed.py --run {run} --shards 'data/my shards' --out {run}/features" in text
    assert f"python train/probe.py --features {run}/features --out {run}/probe" in text
    assert f"python -m train.figures filters --run {run} --out {run}/figures" in text
    assert "which may go on with it: --probe-every 10" in text
    assert "No verdict" in text
    assert "no checkpoint" in text


@pytest.mark.parametrize("kind", ["cpc", "supervised"])
def test_other_systems_have_the_parts_that_make_sense(tmp_path: Path, kind: str) -> None:
    run = write_run(tmp_path / kind, kind=kind, batch_size=7)
    write_log(run)
    if kind == "supervised":
        lines = [{"step": step, "loss": 0.5, "windows_per_second": 3.0} for step in (1, 2)]
        write_lines(run / "log.jsonl", [*lines, {"step": 2, "validation_roc_auc": 0.625, "validation_pr_auc": 0.5}])
        content = scores(["a", "b"])
        write_scores(run, {**content, "test": content["test"][0] | {"item": None}})
    text = page_text(PageRequest(run), tmp_path / "report.html")
    assert f"Run of train/{kind}.py" in text
    assert "batch size 7 default " in text
    assert "train.figures filters" not in text
    if kind == "supervised":
        assert "ROC-AUC 0.6250 to 0.6250" in text
        assert "The network's own scores Tag ROC-AUC 0.750" in text
        assert "Track ROC-AUC – not defined here" in text
        assert "takes no measure of this" in text


def test_settings_that_differ_come_first(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", temperature=0.2, optimizer="adam", shuffle=None)
    text = page_text(PageRequest(run), tmp_path / "report.html")
    shown, folded = text.split("Settings ")[1].split("settings left at their defaults")
    assert "temperature 0.2 default 0.5" in shown
    assert "width 16 default 512" in shown
    assert "optimizer" not in shown
    assert "optimizer adam" in folded


def test_moved_shards_leave_the_neighbours_silent(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_dump(run / "features", tmp_path / "gone", hostile_songs())
    text = page_text(PageRequest(run), tmp_path / "report.html")
    assert "The tracks cannot be heard" in text
    assert f"{tmp_path}/gone" in text
    assert "give --shards DIR" in text
    assert "track-2" in text
    assert "<audio" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_shards_may_be_given_and_have_to_be_the_right_ones(tmp_path: Path, hostile_run: Path, shards: Path) -> None:
    run = write_run(tmp_path / "run")
    write_dump(run / "features", tmp_path / "gone", hostile_songs())
    moved = json.loads((hostile_run / "features" / "features.json").read_text())["shards"]
    write_page(PageRequest(run, shards=moved), tmp_path / "heard.html")
    assert (tmp_path / "heard.html").read_text(encoding="utf-8").count("<audio") == 30
    assert "other shards than were embedded" in page_text(PageRequest(run, shards=str(shards)), tmp_path / "o.html")


def test_damaged_parts_are_named(tmp_path: Path, hostile_run: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(hostile_run, run)
    (run / "saturation.json").write_text('{"version": 1}')
    (run / "features" / "features.npy").write_bytes(b"no matrix")
    (run / "probe" / "scores.json").write_text('{"test": [{}]')
    (run / "figures" / "tags.json").write_text("[")
    text = page_text(PageRequest(run), tmp_path / "report.html")
    assert "saturation.json cannot be read" in text
    assert "features is damaged" in text
    assert "scores.json is missing or damaged" in text


def test_features_of_an_earlier_checkpoint_are_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_dump(run / "features", None, hostile_songs())
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "step-00000010.pt").touch()
    text = page_text(PageRequest(run), tmp_path / "report.html")
    assert "10 of 10" in text
    assert "which is not the run's newest" not in text
    assert "the features are of audio files, not of shards" in text
    (run / "checkpoints" / "step-00000020.pt").touch()
    text = page_text(PageRequest(run), tmp_path / "report.html")
    assert "which is not the run's newest checkpoint, step-00000020.pt" in text


def test_named_probes_and_features_are_taken(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_scores(run / "probe", scores(["left out"]))
    write_scores(tmp_path / "elsewhere", scores([f"tag {number}" for number in range(20)], heads=3))
    text = page_text(
        PageRequest(run, probes=(tmp_path / "elsewhere", tmp_path / "none"), features=tmp_path / "dump"),
        tmp_path / "report.html",
    )
    assert "left out" not in text
    assert "Best 8 of 20 tags" in text
    assert "Tag ROC-AUC 0.750 ± 0.000, 3 heads; chance 0.5" in text
    assert "Track ROC-AUC – not defined here" in text
    assert f"{tmp_path}/none/scores.json is missing or damaged" in text
    assert f"--out {tmp_path}/dump" in text


def test_the_same_run_gives_the_same_page(hostile_page: Path, hostile_run: Path, tmp_path: Path) -> None:
    assert write_page(PageRequest(hostile_run), tmp_path / "again.html").read_bytes() == hostile_page.read_bytes()


def test_ten_seconds_of_the_densest_sound_leave_the_page_below_four_megabytes() -> None:
    noise = np.random.default_rng(0).integers(-20000, 20000, SECONDS * 22050).astype(np.int16)
    players = QUERIES * (1 + NEIGHBOURS) * len(encode_mp3(noise, 22050))
    assert 4 / 3 * (players + MOST_BYTES) < 3.7e6


def test_a_folder_is_no_page(hostile_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        write_page(PageRequest(hostile_run), tmp_path)


def test_the_script_is_named_as_text(hostile_page: Path) -> None:
    assert html.escape(SCRIPT) in hostile_page.read_text(encoding="utf-8")
