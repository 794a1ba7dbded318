"""The program fluidsynth, which plays a MIDI file on the recorded instruments of a soundfont."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clmr.errors import SourceError
from sharding.study.take import Recording

RATE = 44100
SOUNDFONT = "FluidR3_GM.sf2"
SOUNDFONT_BYTES = 148_398_306  # of release 3.1, the only one
PLACES = ("/usr/share/sounds/sf2", "/usr/share/soundfonts", "/usr/local/share/soundfonts")
APT = "apt-get install --no-install-recommends fluidsynth fluid-soundfont-gm"
PATIENCE = 300  # seconds for what takes less than one


@dataclass(frozen=True)
class Player:
    """Where the program and its soundfont are."""

    program: str
    soundfont: Path


def find_player(soundfont: Path | None = None) -> Player:
    """The installed fluidsynth with its soundfont.

    Args:
        soundfont: the file, where it lies in none of the usual places.

    Raises:
        SourceError: one of the two is missing, or the soundfont is another one, which would make another corpus.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        raise SourceError(f"the study corpus is played by fluidsynth, which is not installed: {APT}")
    places = [soundfont] if soundfont else [Path(place) / SOUNDFONT for place in PLACES]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise SourceError(
            f"no soundfont at {', '.join(map(str, places))}: {APT}, or name {SOUNDFONT} of release 3.1 with "
            f"`python -m sharding.study make --soundfont FILE`"
        )
    size = found.stat().st_size
    if size != SOUNDFONT_BYTES:
        raise SourceError(
            f"{found} has {size:,} bytes, but the corpus is defined by {SOUNDFONT} 3.1 with {SOUNDFONT_BYTES:,}: "
            f"give that one, or {APT}"
        )
    return Player(program, found)


def play(player: Player, midi: bytes, recording: Recording) -> npt.NDArray[np.float32]:
    """The music in its room.

    Args:
        player: the program.
        midi: a whole file.
        recording: for the room.

    Returns:
        float32, shape ``[T, 2]``, left and right at 44,100 Hz, until the last note has died away. The same bytes for
        the same arguments, under one version of the program on one kind of processor.

    Raises:
        SourceError: fluidsynth failed.
    """
    settings = {
        "synth.reverb.room-size": recording.room_size,
        "synth.reverb.damp": recording.room_damp,
        "synth.reverb.level": recording.room_level,
        "synth.gain": 0.3,
        # Only the samples that the song needs are read: 54 MB of memory for a song, not 174.
        "synth.dynamic-sample-loading": 1,
    }
    with tempfile.TemporaryDirectory(prefix="study-") as folder:
        song, sound = Path(folder) / "song.mid", Path(folder) / "song.raw"
        song.write_bytes(midi)
        command = [player.program, "--no-midi-in", "--no-shell", "--quiet", "--chorus", "0"]
        command += [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        command += ["--sample-rate", str(RATE), "--audio-file-type", "raw", "--audio-file-format", "float"]
        command += ["--audio-file-endian", "little", "--fast-render", str(sound), str(player.soundfont), str(song)]
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"{player.program} was not done after {PATIENCE} s: run it again to go on") from error
        said = done.stderr.decode(errors="replace").strip().splitlines()
        # It ends with status 0 even when the disk was full.
        wrong = [line for line in said if "error" in line]
        if done.returncode or wrong or not sound.is_file():
            last = (wrong or said or ["it said nothing"])[-1]
            raise SourceError(
                f"{player.program} ended with status {done.returncode}: {last}; is there room in {folder}? "
                f"Run it again to go on"
            )
        return np.fromfile(sound, dtype="<f4").reshape(-1, 2)
