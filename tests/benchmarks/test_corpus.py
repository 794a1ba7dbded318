"""The clips say where every piece of them is from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.corpus import CLIP_FRAMES, MOST_CLIPS, Piece, check_pairs, clip_pcm, locate, read_wav, write_clips


@given(st.integers(0, MOST_CLIPS - 1), st.integers(0, CLIP_FRAMES - 64), st.integers(0, 63))
def test_a_piece_is_located(clip: int, start: int, changed: int) -> None:
    piece = clip_pcm(clip)[start : start + 64].copy()
    assert locate(piece) == Piece(clip, start)
    piece[changed] ^= 1 << 4
    with pytest.raises(ValueError, match="no piece"):
        locate(piece)


def test_pairs_are_checked() -> None:
    def crop(clip: int, start: int) -> list[int]:
        return list(map(int, clip_pcm(clip)[start : start + 100]))

    check_pairs(np.array([[crop(0, 5), crop(0, 800)], [crop(1, 0), crop(1, 0)]], np.int16))
    for wrong, pairs in {
        "different clips": [[crop(0, 5), crop(1, 5)]],
        "same clip": [[crop(1, 5), crop(1, 6)], [crop(1, 7), crop(1, 8)]],
        "same sample": [[crop(1, 5), crop(1, 5)], [crop(2, 7), crop(2, 7)]],
    }.items():
        with pytest.raises(ValueError, match=wrong):
            check_pairs(np.array(pairs, np.int16))


def test_clips_are_wav_files(tmp_path: Path) -> None:
    files = write_clips(tmp_path / "clips", 2, frames=1001)
    for number, file in enumerate(files):
        pcm, rate = soundfile.read(file, dtype="int16")
        assert rate == 22050
        assert np.array_equal(pcm, clip_pcm(number, 1001))
        assert np.array_equal(pcm, read_wav(file))
    assert (tmp_path / "clips" / "labels.csv").read_text().splitlines()[1] == "00000.wav,noise,train,0"
