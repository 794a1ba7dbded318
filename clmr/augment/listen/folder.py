"""A folder of sound files and pictures, before and after every effect."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from clmr.augment.listen.figures import draw_spectrograms, draw_waveforms
from clmr.augment.listen.heard import Heard
from clmr.augment.listen.output import together, wav, write
from clmr.augment.listen.pictures import Spectrograms, scale_of
from clmr.augment.listen.recording import SAMPLE_RATE, Recording

LISTING = "files.txt"


def write_folder(folder: Path, recording: Recording, heard: Iterable[Heard]) -> int:
    """Write ``before.wav``, of every effect ``EFFECT-SETTING.wav`` and ``EFFECT.png``, and ``files.txt``, their list.

    All of them appear or none does. The sound is 32-bit float at 22,050 Hz, as the chain makes it: it may lie beyond
    full scale. The pictures are mel spectrograms, all in the scale of colour of the recording; where an effect does not
    show in one, waveforms.

    Args:
        folder: made where it is missing. What ``files.txt`` lists there is replaced.
        recording: what the effects were applied to.
        heard: what they made of it.

    Returns:
        The number of files.

    Raises:
        ConfigError: a file of the same name was not written by this function.
    """
    spectrograms = Spectrograms(SAMPLE_RATE)
    before = recording.audio[0, 0]
    scale = scale_of(spectrograms(before))
    with together(folder, LISTING) as staging:
        lines = ["before.wav the recording"]
        write(staging / "before.wav", wav(before.numpy(), SAMPLE_RATE))
        for effect in heard:
            for clip in effect.clips:
                lines.append(f"{effect.slug}-{clip.level}.wav {effect.title}: {clip.setting}")
                write(staging / f"{effect.slug}-{clip.level}.wav", wav(clip.audio.numpy(), SAMPLE_RATE))
            picture = (
                draw_waveforms(effect, before, SAMPLE_RATE)
                if effect.waveform
                else draw_spectrograms(effect, before, spectrograms, scale)
            )
            lines.append(f"{effect.slug}.png {effect.title}")
            write(staging / f"{effect.slug}.png", picture)
        write(staging / LISTING, "".join(f"{line}\n" for line in lines).encode())
        return len(list(staging.iterdir()))
