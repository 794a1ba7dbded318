"""The recording of a song: room, microphone, noise floor and level."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sharding.synth.score import Recording
from sharding.synth.waves import Samples

Spectrum = npt.NDArray[np.complex64]


def room_response(recording: Recording, rate: int, channels: int, chance: np.random.Generator) -> Samples:
    """Impulse response of the room, direct sound included, float32, shape ``[channels, N]``.

    Noise that decays exponentially (J. Moorer, About This Reverberation Business, 1979), each channel its own.
    """
    count = round(recording.room_seconds * rate)
    tail = chance.standard_normal((channels, count), dtype=np.float32)
    tail *= np.exp(np.arange(count, dtype=np.float32) * np.float32(-6.908 / count))
    tail[:, : round(0.008 * rate)] = 0  # the first wall is 8 ms away
    tail *= 10 ** (recording.room_db / 20) / np.sqrt(np.sum(tail**2, axis=1, keepdims=True))
    tail[:, 0] = 1
    return tail


def shelf(gain_db: float, corner: float, *, high: bool, unit: npt.NDArray[np.complex128], rate: int) -> Spectrum:
    """Frequency response of a first-order shelf.

    H(s) = (s + w sqrt(g)) / (s + w / sqrt(g)) below the corner w, its mirror image above it, by the bilinear transform
    s = 2 rate (z - 1) / (z + 1).

    Args:
        gain_db: gain of the shelf.
        corner: its middle, in Hz.
        high: lift above the corner, not below it.
        unit: the points z on the unit circle.
        rate: samples per second.
    """
    root = 10 ** (gain_db / 40)
    warped = 2 * rate * math.tan(math.pi * corner / rate)
    # Multiplied through by (z + 1), so that z = -1 is an ordinary point.
    s, w = 2 * rate * (unit - 1), warped * (unit + 1)
    response = (root * s + w) / (s / root + w) if high else (s + root * w) / (s + w / root)
    return response.astype(np.complex64)


def convolve(signal: Samples, response: Samples, recording: Recording, rate: int) -> Samples:
    """The signal through the room and the two shelves, by overlap-add of Fourier blocks.

    Args:
        signal: float32, shape ``[C, T]``.
        response: float32, shape ``[C, N]``.
        recording: gains of the shelves.
        rate: samples per second.

    Returns:
        float32, shape ``[C, T]``; what rings on after the end is cut.
    """
    channels, length = signal.shape
    # The shelves ring for some milliseconds: 4096 samples more than the room needs.
    tail = response.shape[1] + 4096
    block = 1 << max(16, (2 * tail).bit_length())
    hop = block - tail
    unit = np.exp(2j * np.pi * np.arange(block // 2 + 1) / block)
    equaliser = shelf(recording.low_shelf_db, 250, high=False, unit=unit, rate=rate)
    equaliser *= shelf(recording.high_shelf_db, 2500, high=True, unit=unit, rate=rate)
    out = np.zeros((channels, length + block), dtype=np.float32)
    for channel in range(channels):
        transfer = np.fft.rfft(response[channel], block) * equaliser
        for at in range(0, length, hop):
            spectrum = np.fft.rfft(signal[channel, at : at + hop], block)
            spectrum *= transfer
            out[channel, at : at + block] += np.fft.irfft(spectrum, block)
    return out[:, :length]


def add_noise(signal: Samples, noise_db: float, chance: np.random.Generator) -> None:
    """Add hiss to ``signal`` in place, ``noise_db`` against its RMS."""
    level = root_mean_square(signal) * 10 ** (noise_db / 20)
    signal += np.float32(level) * chance.standard_normal(signal.shape, dtype=np.float32)


def level_out(signal: Samples, rate: int, chance: np.random.Generator) -> None:
    """Ride the fader, in place: undo the slow rise and fall of the loudness and put a small random one in its place.

    Otherwise a solo or a resting drummer would make some crops of a song quieter than others, and loudness would tell
    something about the band. The random one has a new aim every 4 s, within 3 dB either way.
    """
    frame = round(0.25 * rate)
    frames = max(1, signal.shape[1] // frame)
    middle = signal[:, : frames * frame].mean(axis=0, dtype=np.float32).reshape(frames, -1)
    power = np.mean(middle**2, axis=1)
    # A moving mean over 2 s, of as many frames as there are at the ends.
    window = np.ones(min(8, frames))
    smooth = np.convolve(power, window, "same") / np.convolve(np.ones(frames), window, "same")
    middles = (np.arange(frames) + 0.5) * frame
    aims_db = chance.uniform(-3, 3, size=2 + frames // 16)
    ride_db = np.interp(np.arange(frames) / 16, np.arange(len(aims_db)), aims_db)
    gain = 10 ** (ride_db / 20) / np.sqrt(smooth / smooth.mean() + 1e-3)
    signal *= np.interp(np.arange(signal.shape[1]), middles, gain).astype(np.float32)


def set_level(signal: Samples, level_db: float) -> None:
    """Bring the RMS of the mono downmix to ``level_db`` against full scale; bend peaks over 0.7 to stay below 0.95."""
    signal *= np.float32(10 ** (level_db / 20) / max(root_mean_square(signal.mean(axis=0, dtype=np.float32)), 1e-9))
    loud = np.abs(signal) > 0.7
    peaks = signal[loud]
    signal[loud] = np.sign(peaks) * (0.7 + 0.25 * np.tanh((np.abs(peaks) - 0.7) / 0.25))


def root_mean_square(signal: Samples) -> float:
    """Of all samples."""
    return math.sqrt(float(np.mean(np.square(signal, dtype=np.float64))))
