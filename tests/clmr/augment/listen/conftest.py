"""A short file, the page about the made-up music, written once, and a browser to open it in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from clmr.augment.__main__ import main
from clmr.augment.listen.song import make_song
from tests.browser.devtools import Browser


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    folder = tmp_path_factory.mktemp("listen")
    answer = CliRunner().invoke(main, ["--page", str(folder)], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return folder / "listen.html"


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of one second of the music, in stereo at 16 kHz."""
    path = tmp_path_factory.mktemp("song") / "song.flac"
    mono = make_song(16000)[0, 0, :16000].numpy()
    soundfile.write(path, np.stack([mono, mono], axis=1), 16000)
    return path


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium
