"""The study corpus as files: labels, splits, restarts, and through the sharder."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from clmr.errors import ConfigError, SourceError
from sharding.datasets import DATASETS
from sharding.datasets.catalog import Request
from sharding.storage import LocalPlace
from sharding.study.__main__ import cli
from sharding.study.corpus import draw_corpus, label_table, make_corpus, track_path

pytestmark = pytest.mark.needs("fluidsynth")


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def songs(folder: Path) -> list[Path]:
    """The finished ones."""
    return [path for path in folder.rglob("*-*.*") if path.name[0] != "."]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by a maker that was killed on the way, and a second one that went on."""
    folder = tmp_path_factory.mktemp("study") / "corpus"
    command = [sys.executable, "-m", "sharding.study", "make", "--out", str(folder), "--size", "tiny", "--jobs", "2"]
    maker = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(songs(folder)) >= 3)
    maker.kill()
    maker.wait()
    assert not (folder / "labels.csv").exists()
    survivors = {path: path.stat().st_mtime_ns for path in songs(folder)}
    assert 0 < len(survivors) < 12
    make_corpus(folder, size="tiny", jobs=1)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in survivors.items())
    return folder


def test_every_labelled_file_is_there_sounds_and_is_not_clipped(corpus: Path) -> None:
    takes = draw_corpus("tiny")
    text = (corpus / "labels.csv").read_text(encoding="utf-8")
    assert text == label_table(takes)
    table = list(csv.DictReader(io.StringIO(text)))
    assert {row["path"] for row in table} == set(contents(corpus)) - {"labels.csv", "study.json"}
    for take, row in zip(takes, table, strict=True):
        assert row == {
            "path": track_path(take).as_posix(),
            "tags": ";".join(take.tags),
            "split": take.composition.split,
            "song_id": take.composition.name,
        }
        signal, rate = soundfile.read(corpus / row["path"], always_2d=True)
        assert (rate, signal.shape[1]) == (22050, 1)
        assert len(signal) == round(take.recording.seconds * rate)
        assert 20 * np.log10(signal.std()) == pytest.approx(take.recording.level_db, abs=0.5)
        assert np.abs(signal).max() < 1
        # No crop of 2.7 s is silent: the quietest is within 25 dB of the whole.
        crops = signal[: len(signal) // 59049 * 59049].reshape(-1, 59049).std(axis=1)
        assert crops.min() > 10 ** (-25 / 20) * signal.std()
        assert abs(signal.mean()) < 0.01 * signal.std()


def test_a_killed_maker_leaves_what_another_one_makes(corpus: Path) -> None:
    """One track by itself, in this process, equals that of the two makers; their left-overs are gone."""
    before = contents(corpus)
    lost = corpus / track_path(draw_corpus("tiny")[-1])
    lost.unlink()
    make_corpus(corpus, size="tiny", jobs=2)
    assert contents(corpus) == before
    assert not list(corpus.rglob("*.part"))


def test_a_finished_corpus_needs_no_player(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    monkeypatch.setenv("PATH", os.devnull)
    make_corpus(corpus, size="tiny")
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == stamps


def test_the_sharder_makes_it_and_lists_it(corpus: Path) -> None:
    catalog = DATASETS["study"](Request(LocalPlace(corpus), variant="tiny"))
    assert len(catalog.recordings) == 12
    assert all(recording.fault is None for recording in catalog.recordings)
    assert {recording.split for recording in catalog.recordings} == {"train", "valid", "test"}
    assert len({recording.song_id for recording in catalog.recordings}) == 9
    with pytest.raises(ConfigError, match="variant is 'pons', but study has only cpu, tiny, full"):
        DATASETS["study"](Request(LocalPlace(corpus), variant="pons"))


def test_another_corpus_in_the_same_folder_is_refused(corpus: Path, tmp_path: Path) -> None:
    before = contents(corpus)
    for size, seed in (("cpu", 0), ("tiny", 1)):
        with pytest.raises(SourceError, match=r"holds the corpus .*\"tiny\", \"seed\": 0.*, not .*: ask for that one"):
            make_corpus(corpus, size=size, seed=seed)
    assert contents(corpus) == before
    (tmp_path / "mine.mp3").write_bytes(b"precious")
    with pytest.raises(SourceError, match=r"holds mine\.mp3, but no study\.json .* give an empty or a new folder"):
        make_corpus(tmp_path, size="tiny")
    assert contents(tmp_path).keys() == {"mine.mp3"}
    with pytest.raises(ConfigError, match="jobs is -1"):
        make_corpus(tmp_path / "new", size="tiny", jobs=-1)


def test_the_commands_say_what_happened(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = CliRunner().invoke(cli, ["make", "--out", str(corpus), "--size", "tiny"])
    assert again.exit_code == 0, again.output
    assert "12 songs; shards: python -m sharding build study" in again.output
    shares = CliRunner().invoke(cli, ["shares", "--size", "tiny"])
    assert "tracks                   6       2       4 100.0 %" in shares.output
    monkeypatch.setenv("PATH", os.devnull)
    missing = CliRunner().invoke(cli, ["make", "--out", str(tmp_path / "new"), "--size", "tiny"])
    assert missing.exit_code == 1
    assert missing.stderr.startswith("error: the study corpus is played by fluidsynth, which is not installed: apt-get")
    assert missing.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()
