"""Files come together or not at all, and sound keeps its samples."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clmr.augment.listen.output import mp3, together, wav, write
from clmr.errors import ConfigError


def test_files_move_up_together_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "a").write_text("old")
    with together(tmp_path) as staging:
        write(staging / "a", b"new")
        write(staging / "b", b"more")
        assert (tmp_path / "a").read_text() == "old"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"mine.txt": "mine", "a": "new", "b": "more"}


@pytest.mark.parametrize(
    ("kind", "facts"),
    [(ValueError, ["x"]), (KeyboardInterrupt, []), (OSError, [errno.ENOSPC, "No space left on device"])],
)
def test_an_error_leaves_nothing(kind: type[BaseException], facts: list[object], tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a").write_text("old")

    def fail(folder: Path) -> None:
        with together(folder) as staging:
            write(staging / "a", b"new")
            raise kind(*facts)

    for folder in (tmp_path / "old", tmp_path / "new" / "deep"):
        with pytest.raises(kind) as caught:
            fail(folder)
        assert getattr(caught.value, "filename", str(folder)) == str(folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["old", "a"]
    assert (tmp_path / "old" / "a").read_text() == "old"


def test_samples_beyond_full_scale_are_kept() -> None:
    audio = np.array([0.1, -1.5, 3.0], np.float32)
    samples, rate = soundfile.read(io.BytesIO(wav(audio, 22050)), dtype="float32")
    assert rate == 22050
    assert np.array_equal(samples, audio)


def test_mp3_has_every_sample_in_its_place() -> None:
    time = np.arange(33333) / 22050
    audio = (0.5 * np.sin(2 * np.pi * 700 * time) * np.linspace(1, 0, 33333)).astype(np.float32)
    samples, _ = soundfile.read(io.BytesIO(mp3(audio, 22050)), dtype="float32")
    assert len(samples) == len(audio)
    assert np.abs(samples - audio)[500:-500].max() < 0.02


def test_only_what_was_written_before_is_replaced(tmp_path: Path) -> None:
    def publish(text: bytes) -> None:
        with together(tmp_path, "files.txt") as staging:
            write(staging / "a.wav", text)
            write(staging / "files.txt", b"a.wav the sound\n")

    publish(b"first")
    publish(b"second")
    assert (tmp_path / "a.wav").read_bytes() == b"second"
    (tmp_path / "files.txt").write_text("b.wav another\n")
    with pytest.raises(ConfigError, match=r"a\.wav exists and was not written by this command: give another folder"):
        publish(b"third")
    assert (tmp_path / "a.wav").read_bytes() == b"second"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "files.txt"]
