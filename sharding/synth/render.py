"""From a score to sound: notes on instruments, parts in a mix, the mix in a room."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sharding.synth.compose import ACCOMPANIMENT, BASS, DRUMS, LEAD, THIRD, Note, compose
from sharding.synth.drums import drum
from sharding.synth.instruments import play
from sharding.synth.room import add_noise, convolve, level_out, room_response, set_level
from sharding.synth.score import Score, generator
from sharding.synth.waves import Samples, Voice

# Level in the mix in dB, and place between left (-1) and right (1) at full width.
MIX = {LEAD: (0, 0.3), ACCOMPANIMENT: (-3, -0.6), THIRD: (-4, 0.8), BASS: (-3, 0.0), DRUMS: (-3, 0.0)}


def render(score: Score, rate: int | None = None, channels: int | None = None) -> npt.NDArray[np.int16]:
    """The song as PCM.

    Args:
        score: the song.
        rate: samples per second; the recording's own when ``None``.
        channels: 1 or 2; the recording's own when ``None``.

    Returns:
        int16, shape ``[T, channels]``, little clipping allowed for: no sample beyond 0.95 of full scale.
    """
    rate = rate or score.recording.rate
    channels = channels or score.recording.channels
    count = round(score.recording.seconds * rate)
    chance = generator(score.seed, score.number, "mix")
    parts = render_parts(score, compose(score), rate, count)
    mix = np.zeros((channels, count), dtype=np.float32)
    for name, part in parts.items():
        level_db, place = MIX[name]
        gain = 10 ** ((level_db + chance.uniform(-2, 2)) / 20) / active_level(part, rate)
        # Equal-power panning; in mono everything is in the middle.
        angle = (1 + place * score.recording.width) * np.pi / 4
        for channel, share in enumerate((np.cos(angle), np.sin(angle)) if channels == 2 else (np.sqrt(0.5),)):
            mix[channel] += np.float32(gain * share) * part
    mix = convolve(mix, room_response(score.recording, rate, channels, chance), score.recording, rate)
    level_out(mix, rate, chance)
    add_noise(mix, score.recording.noise_db, chance)
    fade = round(chance.uniform(0.05, 0.5) * rate)
    mix[:, count - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    set_level(mix, score.recording.level_db)
    return np.rint(mix.T * 32767).astype(np.int16)


def render_parts(score: Score, notes: list[Note], rate: int, count: int) -> dict[str, Samples]:
    """Each part by itself, dry and mono: float32, shape ``[count]``. A note heard before is copied, not made again."""
    voices = draw_voices(score)
    parts: dict[str, Samples] = {}
    heard: dict[tuple[str, int | str, float], Samples] = {}
    for note in notes:
        first = round(note.start * rate)
        if first >= count:
            continue
        voice = voices[note.part]
        which = (note.part, note.sound, note.seconds)
        if which not in heard:
            if isinstance(note.sound, str):
                heard[which] = drum(voice, note.sound, rate)
            else:
                heard[which] = play(voice, score.frequency * 2 ** ((note.sound - 69) / 12), note.seconds, rate)
        wave = heard[which][: count - first]
        if note.part not in parts:
            parts[note.part] = np.zeros(count, dtype=np.float32)
        part = parts[note.part]
        part[first : first + len(wave)] += np.float32(note.velocity) * wave
    return parts


def draw_voices(score: Score) -> dict[str, Voice]:
    """The instrument of each part, in this song's colours."""
    chance = generator(score.seed, score.number, "voices")
    names = {
        LEAD: score.lead,
        ACCOMPANIMENT: score.accompaniment,
        THIRD: score.third or "",
        BASS: "bass",
        DRUMS: "drums",
    }
    return {
        part: Voice(
            instrument=name,
            brightness=float(chance.uniform(0.1, 0.9)),
            vibrato_hz=float(chance.uniform(4.8, 6.4)),
            seed=int(chance.integers(2**31)),
        )
        for part, name in names.items()
    }


def active_level(part: Samples, rate: int) -> float:
    """RMS of a part over the half-seconds in which it plays at all."""
    frame = rate // 2
    power = np.mean(part[: len(part) // frame * frame].reshape(-1, frame) ** 2, axis=1)
    return float(np.sqrt(np.mean(power[power > 0.01 * power.max()])))
