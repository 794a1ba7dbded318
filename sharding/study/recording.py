"""The recording of a take: one microphone, two shelves, hiss, a level, half the rate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sharding.study import fluid
from sharding.study.take import Recording
from sharding.synth.room import add_noise, set_level, shelf

RATE = fluid.RATE // 2
# Hz. All from the second to the third passes, nothing below the first or above the last: some samples of synthesisers
# hold a constant voltage, and the lowest note, an E of 41 Hz, stays.
PASSED = (15.0, 30.0, 9_800.0, 10_900.0)


def record(sound: npt.NDArray[np.float32], recording: Recording, chance: np.random.Generator) -> npt.NDArray[np.int16]:
    """From what was played to PCM.

    Args:
        sound: float32, shape ``[T, 2]`` at 44,100 Hz.
        recording: what becomes of it.
        chance: for the hiss.

    Returns:
        int16, shape ``[N, 1]`` at 22,050 Hz, ``N`` by ``recording.seconds``. Where the sound ends sooner there is hiss.
    """
    count = round(recording.seconds * RATE)
    mono = sound[: 2 * count].mean(axis=1, dtype=np.float32)
    signal = _halve(np.pad(mono, (0, 2 * count - len(mono))), recording)[None]
    add_noise(signal, recording.noise_db, chance)
    fade = round(recording.fade * RATE)
    signal[:, count - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    set_level(signal, recording.level_db)
    return np.rint(signal.T * 32767).astype(np.int16)


def _halve(mono: npt.NDArray[np.float32], recording: Recording) -> npt.NDArray[np.float32]:
    """Every other sample of the signal through the shelves and a band-pass, all in one Fourier transform.

    Dropping every other sample folds the upper half of the spectrum onto the lower one. The filter leaves nothing
    there to fold, so the lower half alone, transformed back at half the length, is the same.
    """
    # Silence for the shelves to ring out in, and then up to a length that transforms fast.
    block = 1 << (len(mono) + 8192).bit_length()
    spectrum = np.fft.rfft(mono, block)[: block // 4 + 1] / 2
    hertz = np.arange(len(spectrum)) * (fluid.RATE / block)
    spectrum *= np.interp(hertz, PASSED, (0, 1, 1, 0)).astype(np.float32)
    unit = np.exp(2j * np.pi * hertz / RATE)
    spectrum *= shelf(recording.low_shelf_db, 250, high=False, unit=unit, rate=RATE)
    spectrum *= shelf(recording.high_shelf_db, 2500, high=True, unit=unit, rate=RATE)
    return np.fft.irfft(spectrum, block // 2)[: len(mono) // 2].astype(np.float32)
