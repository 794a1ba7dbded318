"""What goes through ffmpeg: our arithmetic on its samples, the right stream, no other file, no stuck process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import sharding.ffmpeg
from clmr.errors import SourceError
from sharding.decode import decode
from sharding.faults import Fault, RecordingError
from sharding.ffmpeg import FfmpegFile, ffmpeg_version
from tests.sharding.refusals import fault_of, ffmpeg, ffmpeg_decodes, wav

NAMES = ["a.m4a", "a.aac", "a.wma", "a.mka", "a.ac3", "a.eac3", "a.wv", "a.tta"]
Program = Callable[[str], None]

READ_AND_DIE = """
import os, signal, sys
import numpy as np
from sharding.ffmpeg import FfmpegFile
file = FfmpegFile(open(sys.argv[1], "rb").read(), "wv")
file.read(out=np.empty((100, file.channels), np.float32))
print(file.process_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Every test looks for ffmpeg anew."""
    ffmpeg_version.cache_clear()
    yield
    ffmpeg_version.cache_clear()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put a shell script in ffmpeg's place."""

    def put(script: str) -> None:
        path = tmp_path / "bin" / "ffmpeg"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")

    return put


def fault_through(data: bytes, demuxer: str) -> Fault:
    with pytest.raises(RecordingError) as caught, FfmpegFile(data, demuxer) as file:
        file.read(out=np.empty((100, file.channels), np.float32))
    return caught.value.fault


# --- what comes out -------------------------------------------------------------------------------------------


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rate", [44100, 22050, 16000, 8000])
def test_downmix_resampling_and_rounding_are_ours(clips: dict[str, Path], name: str, rate: int, tmp_path: Path) -> None:
    """To the bit what comes of the float samples that ffmpeg decodes."""
    found = decode(ffmpeg(clips["wav"], tmp_path / name), rate)
    reference = decode(wav(ffmpeg_decodes(tmp_path / name), 44100, "FLOAT"), rate)
    assert np.array_equal(found.pcm, reference.pcm)
    assert (found.peak, found.clipped) == (reference.peak, reference.clipped)
    assert len(found.pcm) > 3.9 * rate
    assert found.decoder == ffmpeg_version()


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("codec", ["wavpack", "alac", "flac"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_lossless_formats_come_back_to_the_bit(tmp_path: Path, codec: str, channels: int) -> None:
    random = np.random.default_rng(0)
    samples = random.integers(-5000, 5001, (40_000, channels)).astype(np.int16)
    (tmp_path / "a.wav").write_bytes(wav(samples, 48000))
    data = ffmpeg(tmp_path / "a.wav", tmp_path / "a.mka", "-c:a", codec)
    assert np.array_equal(decode(data, 48000).pcm, decode(wav(samples, 48000), 48000).pcm)


@pytest.mark.needs("ffmpeg")
def test_the_index_may_stand_at_either_end(clips: dict[str, Path], tmp_path: Path) -> None:
    last = ffmpeg(clips["wav"], tmp_path / "last.m4a")
    first = ffmpeg(tmp_path / "last.m4a", tmp_path / "first.m4a", "-c", "copy", "-movflags", "+faststart")
    assert last.index(b"mdat") < last.index(b"moov")
    assert first.index(b"moov") < first.index(b"mdat")
    assert np.array_equal(decode(last, 22050).pcm, decode(first, 22050).pcm)


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_of_a_film_the_first_sound_track_is_taken(tmp_path: Path, name: str) -> None:
    film = ["-f", "lavfi", "-i", "testsrc=duration=2:size=64x64:rate=10"]
    sounds = [part for hertz in (441, 882) for part in ("-f", "lavfi", "-i", f"sine={hertz}:duration=2")]
    maps = ["-map", "0:v", "-map", "1:a", "-map", "2:a", "-c:v", "mpeg4", "-c:a", "aac"]
    subprocess.run(["ffmpeg", "-v", "error", *film, *sounds, *maps, str(tmp_path / name)], check=True, timeout=60)
    pcm = decode((tmp_path / name).read_bytes(), 44100).pcm
    assert int(np.abs(np.fft.rfft(pcm[22050 : 22050 + 44100])).argmax()) == 441


@pytest.mark.needs("ffmpeg")
def test_levels_beyond_full_scale_are_counted(tmp_path: Path) -> None:
    tone = 1.2 * np.sin(2 * np.pi * np.arange(44100) / 100)
    (tmp_path / "a.wav").write_bytes(wav(tone, 44100, "FLOAT"))
    decoded = decode(ffmpeg(tmp_path / "a.wav", tmp_path / "a.wv"), 44100)
    assert decoded.peak == 32768
    scaled = np.rint(tone.astype(np.float32) * 32768)
    assert decoded.clipped == np.count_nonzero((scaled > 32767) | (scaled < -32768)) > 10_000


# --- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.needs("ffmpeg")
def test_a_list_of_files_is_not_followed(clips: dict[str, Path], tmp_path: Path) -> None:
    """By itself ffmpeg takes a text called song.m4a for a playlist, and plays another file of this machine."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(clips["wav"].read_bytes())
    song = tmp_path / "song.m4a"
    song.write_text("ffconcat version 1.0\nfile secret.wav\n")
    assert len(ffmpeg_decodes(song)) == 4 * 44100
    assert fault_of(song.read_bytes()) is Fault.UNDECODABLE
    disguised = b"\0\0\0\x1cftypM4A \0\0\0\0" + b"moov" + song.read_bytes()
    for data in (song.read_bytes(), disguised):
        for demuxer in ("mov", "matroska", "asf", "aac", "ogg", "wv"):
            assert fault_through(data, demuxer) is Fault.UNDECODABLE


@pytest.mark.needs("ffmpeg")
def test_damaged_files(clips: dict[str, Path], tmp_path: Path) -> None:
    data = ffmpeg(clips["wav"], tmp_path / "a.m4a")
    moov = data.index(b"moov")
    assert fault_of(data[: moov + 4] + bytes(len(data) - moov - 4)) is Fault.UNDECODABLE
    film = ["-f", "lavfi", "-i", "testsrc=duration=1:size=64x64", "-c:v", "mpeg4", str(tmp_path / "silent.mp4")]
    subprocess.run(["ffmpeg", "-v", "error", *film], check=True, timeout=60)
    assert fault_of((tmp_path / "silent.mp4").read_bytes()) is Fault.UNDECODABLE
    # A damaged place inside the samples costs that place.
    middle = data.index(b"mdat") + 20_000
    assert len(decode(data[:middle] + bytes(300) + data[middle + 300 :], 22050).pcm) > 3.9 * 22050


def test_an_ffmpeg_that_fails_or_hangs(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding.ffmpeg, "TIME_LIMIT", 0.3)
    program("exec sleep 60")
    start = time.monotonic()
    assert fault_through(b"", "mov") is Fault.UNDECODABLE
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("script", ["exit 1", "kill -SEGV $$", "printf .snd", "exit 0"])
def test_an_ffmpeg_that_ends_badly(program: Program, script: str) -> None:
    program(script)
    assert fault_through(b"", "mov") is Fault.UNDECODABLE


@pytest.mark.parametrize("name", ["KILL", "TERM", "INT"])
def test_an_ffmpeg_that_somebody_stops_is_no_fault_of_the_recording(program: Program, name: str) -> None:
    program(f"kill -{name} $$")
    with pytest.raises(SourceError, match=f"stopped by SIG{name}.*fewer jobs"):
        FfmpegFile(b"", "mov")


def test_versions(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program("echo ffmpeg version 9.1-test Copyright; echo built with")
    assert ffmpeg_version() == "ffmpeg 9.1-test"
    monkeypatch.setenv("PATH", "/nowhere")
    assert ffmpeg_version() == "ffmpeg 9.1-test"  # asked once
    ffmpeg_version.cache_clear()
    assert ffmpeg_version() is None


def test_a_broken_installation_counts_as_none(program: Program) -> None:
    program("echo cannot open shared object file >&2; exit 127")
    assert ffmpeg_version() is None


# --- nothing stays behind -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of silence, which ffmpeg does not decode in an instant."""
    path = tmp_path_factory.mktemp("long") / "long.wv"
    silence = ["-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "3600", str(path)]
    subprocess.run(["ffmpeg", "-v", "error", *silence], check=True, timeout=60)
    return path


def gone(process: int) -> bool:
    """Whether a process ends soon."""
    for _ in range(200):
        status = Path(f"/proc/{process}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.needs("ffmpeg")
def test_a_file_left_in_the_middle_ends_ffmpeg(long: Path) -> None:
    with FfmpegFile(long.read_bytes(), "wv") as file:
        file.read(out=np.empty((100, 1), np.float32))
        assert not Path(f"/proc/{file.process_id}/stat").read_text().rpartition(")")[2].startswith(" Z")
    assert gone(file.process_id)


@pytest.mark.needs("ffmpeg")
def test_a_killed_reader_leaves_no_ffmpeg_and_no_file(long: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_DIE, str(long)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    assert gone(int(done.stdout))
    assert not list(tmp_path.iterdir())


@pytest.mark.needs("ffmpeg")
def test_ctrl_c_is_not_for_ffmpeg(long: Path) -> None:
    """Else it would end, and count the recording as broken, before the sharder stops."""
    with FfmpegFile(long.read_bytes(), "wv") as file:
        assert os.getpgid(file.process_id) != os.getpgrp()
