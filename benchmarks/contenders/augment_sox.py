"""The sox program: one process per view, which has the paper's pitch and reverb."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.contenders.augment_crops import CROP_FRAMES, SAMPLE_RATE, Audio, Effects, check_views, load_crops, only

EFFECTS = ("pitch", "reverb")
RAW = ("-t", "raw", "-r", str(SAMPLE_RATE), "-c", "1", "-e")
VIEWS = 32
CHECKED = 64


def memory() -> str | None:
    """A folder in memory where the system has one, so that no disk is measured."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a private folder is made in it


def program() -> str:
    """Where sox is.

    Raises:
        FileNotFoundError: it is not installed.
    """
    path = shutil.which("sox")
    if path is None:
        raise FileNotFoundError("the program sox is not installed")
    return path


def run_sox(crop: Audio, effects: Sequence[str]) -> Audio:
    """What sox makes of a crop ``[T]``, at sox's own length."""
    with tempfile.TemporaryDirectory(dir=memory()) as folder:
        source, result = Path(folder) / "in.raw", Path(folder) / "out.raw"
        crop.astype("<f4").tofile(source)
        files = [*RAW, "float", "-b", "32", str(source), *RAW, "float", "-b", "32", str(result)]
        subprocess.run([program(), "-V1", "-D", *files, *effects], check=True)
        return np.fromfile(result, dtype="<f4")


def drawn(effects: Effects, chance: np.random.Generator) -> list[str]:
    """The arguments of a view's effects; none where no gate is open."""
    arguments: list[str] = []
    if chance.random() < effects.get("pitch", 0):
        arguments += ["pitch", f"{chance.uniform(-500, 500):.3f}", "rate", str(SAMPLE_RATE)]
    if chance.random() < effects.get("reverb", 0):
        percents = [f"{chance.uniform(0, 100):.3f}" for _ in range(3)]
        arguments += ["reverb", *percents, "channels", "1"]
    return arguments


class Sox:
    """Views made by sox, in files of a folder."""

    def __init__(self, folder: Path, crops: Audio, effects: Effects, *, idle: bool) -> None:
        self._folder, self._effects, self._idle = folder, effects, idle
        self._sox, self._chance = program(), np.random.default_rng(0)
        self._crops = crops
        for number, crop in enumerate(crops):
            np.rint(crop * 2**15).astype("<i2").tofile(folder / f"{number}.raw")

    def view(self, number: int) -> Audio:
        """A view ``[T]`` of crop ``number``; sox is not started where no gate is open."""
        arguments = drawn(self._effects, self._chance)
        row = number % len(self._crops)
        if not arguments and not self._idle:
            crop: Audio = self._crops[row]
            return crop
        result = self._folder / f"view-{threading.get_ident()}.raw"
        source = str(self._folder / f"{row}.raw")
        files = [*RAW, "signed", "-b", "16", source, *RAW, "float", "-b", "32", str(result)]
        command = [self._sox, "-V1", "-D", *files, *arguments]
        _, status = os.waitpid(os.posix_spawn(self._sox, command, os.environ), 0)
        if status:
            raise OSError(f"sox ended with status {status}: {' '.join(arguments)}")
        made = np.fromfile(result, dtype="<f4")
        return np.pad(made[:CROP_FRAMES], (0, max(0, CROP_FRAMES - len(made))))


def views(crops: str, effects: Effects, processes: int) -> Iterator[int]:
    """The program sox with `pitch C rate 22050` and `reverb R D S channels 1`, in one process where both are drawn.

    So many processes at a time, one for each view, started by posix_spawn; crops in 16-bit files and views in
    float files, both in memory (/dev/shm), every view is read back. Views without an open gate cost nothing.
    """
    pcm = load_crops(crops)
    kept = {} if set(effects) == {"nothing"} else only(effects, EFFECTS)
    with (
        tempfile.TemporaryDirectory(prefix="clmr-sox-", dir=memory()) as folder,
        ThreadPoolExecutor(processes) as pool,
    ):
        sox = Sox(Path(folder), pcm, kept, idle=not kept)
        first = np.arange(CHECKED)
        check_views(pcm[first % len(pcm)], np.stack(list(pool.map(sox.view, first.tolist()))), kept)
        number = 0
        while True:
            yield sum(1 for _ in pool.map(sox.view, range(number, number + VIEWS)))
            number += VIEWS
