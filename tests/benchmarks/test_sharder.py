"""The sharder's benchmark: its clips are what it says, its contenders do the same work, its page says who won."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from benchmarks import sharder
from benchmarks.clips import KINDS, PREVIEW, SECONDS, Kind, write_clip, write_corpus
from benchmarks.report import Spread
from sharding.decode import decode

pytestmark = pytest.mark.needs("ffmpeg")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_clips_are_what_they_are_called(tmp_path: Path, kind: Kind) -> None:
    path = write_clip(tmp_path / f"clip{kind.suffix}", kind, 0)
    assert len(decode(path.read_bytes(), 22050).pcm) == pytest.approx(SECONDS * 22050, rel=0.003)
    if kind.suffix != ".m4a":
        info = soundfile.info(path)
        assert ("mono" in kind.name) == (info.channels == 1)
        assert f"{info.samplerate / 1000:g} kHz" in kind.name
    if "kbit" in kind.name:
        kbps = int(kind.name.split()[-2])
        assert path.stat().st_size == pytest.approx(SECONDS * kbps * 1000 / 8, rel=0.06)
    assert list(tmp_path.iterdir()) == [path]


def test_contenders_do_the_same_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_corpus(tmp_path / "clips", PREVIEW, clips=3, songs=2)
    assert paths[0].read_bytes() == paths[2].read_bytes() != paths[1].read_bytes()
    kept: list[Path] = []
    monkeypatch.setattr("benchmarks.sharder.shutil.rmtree", kept.append)
    assert sharder.build_seconds(tmp_path / "clips", tmp_path / "shards", 2) > 0
    assert sharder.ffmpeg_seconds(paths, tmp_path / "wavs", 2) > 0
    assert kept == [tmp_path / "shards", tmp_path / "wavs"]
    lengths = [soundfile.info(path).frames for path in sorted((tmp_path / "wavs").iterdir())]
    assert lengths == [sharder.samples_of(path) for path in paths] == 3 * [SECONDS * 22050]
    assert (tmp_path / "shards" / "manifest.json").is_file()


def test_the_page_says_what_was_met() -> None:
    rates = {
        (contender, jobs): Spread.of([speed * jobs])
        for contender, speed in ((sharder.BUILD, 9.0), (sharder.ALONE, 10.0), (sharder.FFMPEG, 4.0))
        for jobs in (1, 2)
    }
    page = sharder.page({"clips": rates}, [["MP3"]], clips=10, rounds=1, repeats=2)
    assert "| clips: ffmpeg per file, 2 jobs | 2.25x | 2.25 - 2.25 | 3.0x | missed |" in page
    assert "| clips: decode alone, 2 jobs | 0.90x | 0.90 - 0.90 | 0.8x | met |" in page
    assert "| clips: itself with 1 job, with 2 | 2.00x | 2.00 - 2.00 | 1.8x | met |" in page
