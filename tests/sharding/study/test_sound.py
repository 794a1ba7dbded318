"""What is heard: pitch, tempo, drums and articulation as the score has them, and the recording as drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import resample_poly

from clmr.errors import SourceError
from sharding.study import fluid
from sharding.study.arrange import arrange
from sharding.study.fluid import Player, find_player, play
from sharding.study.midi import DRUM_CHANNEL, Channel, MidiNote, write_midi
from sharding.study.recording import RATE, record
from sharding.study.take import Recording, Take, draw_takes

DRY = Recording(
    seconds=6.0,
    codec="ogg",
    room_size=0.2,
    room_damp=0.5,
    room_level=0.0,
    low_shelf_db=0.0,
    high_shelf_db=0.0,
    noise_db=-90.0,
    level_db=-20.0,
    fade=0.05,
)
TAKE = draw_takes(0, "test", 1, 6)[0]
Signal = npt.NDArray[np.float64]


def heard(player: Player, take: Take) -> Signal:
    """The take as a dry recording, float, at 22,050 Hz."""
    dry = replace(take, recording=replace(DRY, seconds=take.recording.seconds))
    pcm = record(play(player, arrange(dry), dry.recording), dry.recording, np.random.default_rng(0))
    return pcm[:, 0] / 32768


def power(signal: Signal, rate: int = RATE) -> tuple[Signal, Signal]:
    """Frequencies in Hz, and the power at each."""
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) ** 2
    return np.asarray(np.fft.rfftfreq(len(signal), 1 / rate), dtype=np.float64), spectrum.astype(np.float64)


def centroid(signal: Signal) -> float:
    """Of the spectrum, in octaves above 1 Hz."""
    hertz, spectrum = power(signal)
    audible = hertz > 30
    return float(np.average(np.log2(hertz[audible]), weights=spectrum[audible]))


# --- the player -----------------------------------------------------------------------------------------------


@pytest.mark.needs("fluidsynth")
def test_a_flute_plays_the_written_pitch(player: Player) -> None:
    for key in (60, 69, 81):
        sound = play(player, write_midi([MidiNote(0, 0, 4, key, 100)], {0: Channel(73, 100)}, 120, 4), DRY)
        hertz, spectrum = power(sound[22050:66150].mean(axis=1).astype(np.float64), fluid.RATE)
        loudest = hertz[np.argmax(spectrum)]
        # The sharpest bin is within half a bin of 1 Hz, and a player's vibrato within 20 cents.
        assert loudest == pytest.approx(440 * 2 ** ((key - 69) / 12), rel=0.012)


@pytest.mark.needs("fluidsynth")
@pytest.mark.parametrize("bpm", [67.0, 143.0])
def test_a_click_is_heard_at_its_tempo(bpm: float, player: Player) -> None:
    clicks = [MidiNote(DRUM_CHANNEL, beat, 0.2, 76, 110) for beat in range(16)]
    sound = play(player, write_midi(clicks, {DRUM_CHANNEL: Channel(0, 110)}, bpm, 4), DRY).mean(axis=1)
    frame = 441  # 10 ms
    energy = np.sqrt(np.mean(sound[: len(sound) // frame * frame].reshape(-1, frame) ** 2, axis=1))
    onsets = np.maximum(np.diff(energy), 0)
    related = np.correlate(onsets, onsets, "full")[len(onsets) - 1 :]
    # Between 40 and 200 beats per minute: lags of 30 to 150 frames.
    lag = 30 + np.argmax(related[30:150])
    assert 60 / (lag * 0.01) == pytest.approx(bpm, rel=0.02)


@pytest.mark.needs("fluidsynth")
def test_the_same_music_makes_the_same_bytes(player: Player) -> None:
    midi = arrange(TAKE)
    assert np.array_equal(play(player, midi, TAKE.recording), play(player, midi, TAKE.recording))


@pytest.mark.needs("fluidsynth")
def test_a_larger_room_rings_on_longer(player: Player) -> None:
    midi = write_midi([MidiNote(0, 0, 0.2, 72, 110)], {0: Channel(13, 110)}, 120, 4)
    tails = []
    for size, level in ((0.1, 0.1), (0.8, 0.7)):
        sound = play(player, midi, replace(DRY, room_size=size, room_level=level))
        tails.append(float(np.mean(sound[33075:66150] ** 2) / np.mean(sound[:22050] ** 2)))
    assert tails[1] > 4 * tails[0]


# --- tags -----------------------------------------------------------------------------------------------------


@pytest.mark.needs("fluidsynth")
def test_registers_drums_and_bass_show_in_the_spectrum(player: Player) -> None:
    plain = replace(TAKE, band=("flute",), instruments=(73,), bass=None, drum_kit=None, register="low")
    low = heard(player, plain)
    high = heard(player, replace(plain, register="high"))
    assert centroid(high) > centroid(low) + 1
    drums = heard(player, replace(plain, drum_kit=0))
    hertz, without = power(low)
    _, with_drums = power(drums)
    cymbals = hertz > 6000
    assert with_drums[cymbals].sum() / with_drums.sum() > 10 * without[cymbals].sum() / without.sum()
    hertz, without = power(high)
    _, with_bass = power(heard(player, replace(plain, register="high", bass=33)))
    lows = (hertz > 35) & (hertz < 120)
    assert with_bass[lows].sum() / with_bass.sum() > 10 * without[lows].sum() / without.sum()


@pytest.mark.needs("fluidsynth")
def test_staccato_leaves_gaps(player: Player) -> None:
    organ = replace(TAKE, band=("organ",), instruments=(16,), bass=None, drum_kit=None, texture="single_notes")
    silent = {}
    for articulation in ("staccato", "legato"):
        signal = heard(player, replace(organ, articulation=articulation))
        frames = signal[: len(signal) // 220 * 220].reshape(-1, 220)
        level = np.sqrt(np.mean(frames**2, axis=1))
        silent[articulation] = float(np.mean(level < 0.1 * np.percentile(level, 95)))
    assert silent["staccato"] > silent["legato"] + 0.2


# --- the recording --------------------------------------------------------------------------------------------


def test_half_the_rate_is_what_a_resampler_makes_of_it() -> None:
    noise = np.random.default_rng(1).standard_normal(2 * 88200).astype(np.float32)
    tone = np.sin(2 * np.pi * 15_000 / fluid.RATE * np.arange(len(noise)), dtype=np.float32)
    # Music from 40 Hz to 9 kHz; a tone that has to vanish instead of folding down to 7,050 Hz, and a constant as well.
    spectrum = np.fft.rfft(noise)
    spectrum[round(9000 / fluid.RATE * len(noise)) :] = 0
    spectrum[: round(40 / fluid.RATE * len(noise))] = 0
    music = np.fft.irfft(spectrum).astype(np.float32)
    recording = replace(DRY, seconds=4.0)
    pcm = record(np.stack([music + tone + 0.5] * 2, axis=1), recording, np.random.default_rng(0))
    ours, theirs = pcm[2000:-4000, 0] / 32768, resample_poly(music.astype(np.float64), 1, 2)[2000:-4000]
    gain = (ours @ theirs) / (theirs @ theirs)
    assert np.sqrt(np.mean((ours - gain * theirs) ** 2) / np.mean(ours**2)) < 0.01


@pytest.mark.parametrize(("low", "high"), [(3.0, 0.0), (0.0, -3.0)])
def test_the_shelves_have_their_gains(low: float, high: float) -> None:
    noise = np.random.default_rng(2).standard_normal((4 * 88200, 2)).astype(np.float32)
    flat, tilted = (
        record(noise, replace(DRY, seconds=8.0, low_shelf_db=a, high_shelf_db=b), np.random.default_rng(0))[:, 0]
        / 32768
        for a, b in ((0.0, 0.0), (low, high))
    )

    def level(signal: Signal, lowest: float, highest: float) -> float:
        hertz, spectrum = power(signal)
        return float(10 * np.log10(spectrum[(hertz > lowest) & (hertz < highest)].mean()))

    # Against the middle, since the level as a whole is set afterwards.
    middle = level(tilted, 700, 900) - level(flat, 700, 900)
    assert level(tilted, 32, 60) - level(flat, 32, 60) - middle == pytest.approx(low, abs=0.6)
    assert level(tilted, 8500, 9500) - level(flat, 8500, 9500) - middle == pytest.approx(high, abs=0.6)


def test_level_length_and_fade_are_as_drawn_even_where_the_sound_ends_early() -> None:
    noise = np.random.default_rng(3).standard_normal((44100, 2)).astype(np.float32)
    pcm = record(noise, replace(DRY, seconds=3.0, level_db=-23.0), np.random.default_rng(0))
    assert pcm.shape == (round(3.0 * RATE), 1)
    signal = pcm[:, 0] / 32768
    assert 20 * np.log10(signal.std()) == pytest.approx(-23.0, abs=0.1)
    assert pcm[-1, 0] == 0
    assert np.abs(signal[-RATE:]).max() < 0.01  # hiss


# --- what may be missing --------------------------------------------------------------------------------------


def test_a_missing_program_is_one_line_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SourceError, match=r"fluidsynth, which is not installed: apt-get install .* fluid-soundfont-gm"):
        find_player()


@pytest.mark.needs("fluidsynth")
def test_a_missing_or_another_soundfont_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.sf2"
    with pytest.raises(SourceError, match=r"no soundfont at .*other\.sf2: apt-get install .* --soundfont FILE"):
        find_player(other)
    other.write_bytes(b"RIFF")
    with pytest.raises(SourceError, match=r"other\.sf2 has 4 bytes, but the corpus is defined by FluidR3_GM\.sf2 3\.1"):
        find_player(other)


@pytest.mark.needs("fluidsynth")
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'no such sound' >&2; exit 3", "ended with status 3: no such sound"),
        # As on a full disk: files end at 50 kB, and writing more is an error, not a signal.
        ("trap '' XFSZ; ulimit -f 100; exec {program} \"$@\"", "status 0: fluidsynth: error: Audio file write error"),
    ],
)
def test_a_failing_program_is_quoted(script: str, message: str, player: Player, tmp_path: Path) -> None:
    program = tmp_path / "fluidsynth"
    program.write_text("#!/bin/sh\n" + script.format(program=player.program))
    program.chmod(0o755)
    with pytest.raises(SourceError, match=message):
        play(replace(player, program=str(program)), arrange(TAKE), DRY)
