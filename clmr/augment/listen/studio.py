"""Sounds and pictures for the page, all at one volume and in one scale of colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from clmr.augment.listen.heard import Heard
from clmr.augment.listen.markup import Markup, data_url, element
from clmr.augment.listen.output import mp3
from clmr.augment.listen.pictures import Scale, Spectrograms, bare_picture, scale_of
from clmr.augment.listen.waveform import HEIGHT, loudest, outline

LOUDEST = 0.98  # of full scale, where the loudest of all clips is louder: MP3 holds no more


@dataclass(frozen=True, eq=False)
class Studio:
    """What all cards share: the recording, the scale of colour and the volume."""

    before: Tensor
    """float32, shape ``[T]``."""
    sample_rate: int
    volume: float
    """By which every clip is multiplied before it is encoded, so that loud and quiet stay comparable."""
    spectrograms: Spectrograms
    scale: Scale

    @classmethod
    def of(cls, before: Tensor, heard: Sequence[Heard], sample_rate: int) -> Studio:
        """Measure what is to be shown."""
        peak = max(clip.abs().max().item() for clip in (before, *(clip.audio for each in heard for clip in each.clips)))
        spectrograms = Spectrograms(sample_rate)
        return cls(before, sample_rate, min(1.0, LOUDEST / peak), spectrograms, scale_of(spectrograms(before)))

    @property
    def seconds(self) -> float:
        """Length of every clip."""
        return len(self.before) / self.sample_rate

    def player(self, audio: Tensor, name: str, **attributes: str) -> Markup:
        """The sound, to be played by the browser itself where the page's script does not run."""
        sound = data_url("audio/mpeg", mp3((audio * self.volume).numpy(), self.sample_rate))
        return element("audio", controls=True, preload="none", src=sound, aria_label=f"Play {name}", **attributes)

    def picture(self, audio: Tensor, name: str, *, waveform: bool = False) -> Markup:
        """A spectrogram, or the waveform around the recording's loudest sample, with its axes.

        Over a spectrogram lies the line that shows where the player is.
        """
        if waveform:
            part = loudest(self.before, self.sample_rate)
            highest = self.before[part].abs().max().item()
            marks = [(0.975, "+"), (0.5, "0"), (0.025, "\N{MINUS SIGN}")]
            drawing = _wave(outline(audio[part].numpy(), highest), part.stop - part.start - 1, f"Waveform: {name}")
            ends = [f"{at / self.sample_rate:.3f} s" for at in (part.start, part.stop)]
        else:
            marks = self.spectrograms.marks()
            source = data_url("image/png", bare_picture(self.spectrograms(audio), self.scale))
            drawing = element("img", src=source, alt=f"Spectrogram: {name}")
            ends = ["0 s", f"{self.seconds:.1f} s"]
        heights = (
            element("text", words, x="100%", y=f"{100 * (1 - height):.4g}%", dy="0.32em", text_anchor="end")
            for height, words in marks
        )
        line = None if waveform else element("i", class_="line")
        return element(
            "div",
            element("svg", *heights, class_="marks", aria_hidden="true"),
            element("div", drawing, line, class_="plot" if waveform else "plot seekable"),
            element("p", *(element("span", end) for end in ends), class_="ends", aria_hidden="true"),
            class_="picture",
        )


def _wave(path: str, width: int, name: str) -> Markup:
    return element(
        "svg",
        element("path", d=f"M0 {HEIGHT // 2}H{width}", class_="zero"),
        element("path", d=path, class_="wave"),
        viewBox=f"0 0 {width} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=name,
    )
