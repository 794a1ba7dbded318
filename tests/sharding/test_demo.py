"""The demo corpus as files: formats, labels, splits, restarts."""

from __future__ import annotations

import csv
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from clmr.errors import ConfigError, SourceError
from sharding.datasets.demo import CODECS, encode, make_corpus, song_path, split_of
from sharding.synth.render import render
from sharding.synth.score import FILES, TAGS, Score, draw_score

SONGS = 12
CODEC_ERROR_DB = {"mp3": -12.0, "ogg": -12.0}  # power of the difference against the song's; hiss is what suffers
LEVEL_DB = 0.3  # of a song's RMS after a codec
MAKE = "import sys; from pathlib import Path; from sharding.datasets.demo import make_corpus; "


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "corpus"
    make_corpus(folder, songs=SONGS, jobs=2)
    return folder


# --- files ----------------------------------------------------------------------------------------------------


def test_the_labels_name_every_file_and_its_header_is_as_drawn(corpus: Path) -> None:
    table = rows(corpus)
    assert {row["path"] for row in table} == set(contents(corpus)) - {"labels.csv"}
    assert len({row["song_id"] for row in table}) == len(table) == SONGS
    for number, row in enumerate(table):
        score = draw_score(0, number)
        header = soundfile.info(corpus / row["path"])
        assert (header.format, header.samplerate, header.channels) == (
            CODECS[score.recording.extension][0],
            score.recording.rate,
            score.recording.channels,
        )
        assert header.frames == round(score.recording.seconds * score.recording.rate)
        assert 20 <= header.duration <= 32
        assert row["tags"] == ";".join(score.tags)
        assert row["split"] == split_of(number, SONGS)


@pytest.mark.parametrize(("extension", "rate", "channels"), FILES)
def test_files_decode_to_what_was_played(extension: str, rate: int, channels: int, tmp_path: Path) -> None:
    pcm = render(draw_score(0, 1), rate, channels)[: 6 * rate]
    path = tmp_path / f"song.{extension}"
    path.write_bytes(encode(pcm, rate, extension))
    decoded, decoded_rate = soundfile.read(path, dtype="int16", always_2d=True)
    assert decoded_rate == rate
    assert decoded.shape == pcm.shape
    if extension in CODEC_ERROR_DB:
        error = decoded.astype(np.float64) - pcm
        assert 10 * np.log10(np.mean(error**2) / np.mean(pcm.astype(np.float64) ** 2)) < CODEC_ERROR_DB[extension]
    else:
        assert np.array_equal(decoded, pcm)


@pytest.mark.needs("ffmpeg")
def test_ffmpeg_hears_the_same_loudness(corpus: Path) -> None:
    for number, row in enumerate(rows(corpus)):
        command = ("ffmpeg", "-v", "error", "-i", corpus / row["path"], "-f", "f32le", "-")
        decoded = subprocess.run(command, capture_output=True, check=True)
        assert decoded.stderr == b""
        recording = draw_score(0, number).recording
        heard = np.frombuffer(decoded.stdout, dtype="<f4").reshape(-1, recording.channels).astype(np.float64)
        level = 10 * np.log10(np.mean(heard.mean(axis=1) ** 2))
        assert level == pytest.approx(recording.level_db, abs=LEVEL_DB)


# --- requests, restarts, processes ----------------------------------------------------------------------------


def test_a_finished_corpus_is_left_alone_and_a_lost_song_comes_back(corpus: Path) -> None:
    before = contents(corpus)
    stamps = {name: (corpus / name).stat().st_mtime_ns for name in before}
    make_corpus(corpus, songs=SONGS, jobs=1)
    assert {name: (corpus / name).stat().st_mtime_ns for name in before} == stamps
    (corpus / rows(corpus)[3]["path"]).unlink()
    make_corpus(corpus, songs=SONGS, jobs=1)
    assert contents(corpus) == before


def test_the_number_of_jobs_changes_no_byte(corpus: Path, tmp_path: Path) -> None:
    make_corpus(tmp_path / "one", songs=SONGS, jobs=1)
    assert contents(tmp_path / "one") == contents(corpus)


def test_another_request_in_the_same_folder_is_refused(corpus: Path, tmp_path: Path) -> None:
    before = contents(corpus)
    for request in ({"songs": SONGS + 1}, {"songs": SONGS, "seed": 1}):
        with pytest.raises(SourceError, match=r"labels\.csv is not that of the demo corpus .* give another folder"):
            make_corpus(corpus, **request)
    assert contents(corpus) == before
    (tmp_path / "mine.mp3").write_bytes(b"precious")
    with pytest.raises(SourceError, match=r"mine\.mp3 is not a song of this demo corpus: give another folder"):
        make_corpus(tmp_path, songs=SONGS)
    assert contents(tmp_path).keys() == {"mine.mp3"}


def test_settings_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="songs is 2"):
        make_corpus(tmp_path, songs=2)
    with pytest.raises(ConfigError, match="jobs is -1"):
        make_corpus(tmp_path, jobs=-1)


def test_killed_and_started_again_it_ends_with_the_same_files(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    program = MAKE + f"make_corpus(Path(sys.argv[1]), songs={SONGS}, jobs=2)"
    maker = subprocess.Popen((sys.executable, "-c", program, folder), stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: len(list(folder.glob("album-*/song-*"))) >= 2)
    maker.kill()
    maker.wait()
    assert not (folder / "labels.csv").exists()
    # The workers end with their parent: the process group it led is empty.
    wait_for(lambda: not group_alive(maker.pid))
    assert contents(folder) != contents(corpus)
    (folder / "album-00" / ".song.part").write_bytes(b"half a song")
    make_corpus(folder, songs=SONGS, jobs=2)
    assert contents(folder) == contents(corpus)


def test_a_killed_worker_is_one_line_not_a_hang(tmp_path: Path) -> None:
    def kill_one() -> None:
        wait_for(lambda: any(tmp_path.glob("album-*/song-*")))
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(SourceError, match=r"was killed .*: run it again to go on"):
        make_corpus(tmp_path, songs=200, jobs=1)
    killer.join()


def test_the_synthesiser_does_not_import_torch() -> None:
    program = "import sharding.datasets.demo, sys; sys.exit('torch' in sys.modules)"
    subprocess.run((sys.executable, "-c", program), check=True)


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


# --- splits and names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_every_split_has_songs_with_and_without_every_tag(seed: int) -> None:
    split_songs: dict[str, list[Score]] = {}
    for number in range(320):
        split_songs.setdefault(split_of(number, 320), []).append(draw_score(seed, number))
    assert {split: len(songs) for split, songs in split_songs.items()} == {"train": 96, "valid": 24, "test": 200}
    for songs in split_songs.values():
        counts = Counter(tag for score in songs for tag in score.tags)
        assert all(0 < counts[tag] < len(songs) for tag in TAGS)


def test_file_names_change_with_the_song() -> None:
    names = {song_path(draw_score(seed, 3)).as_posix() for seed in range(20)}
    assert len(names) == 20
