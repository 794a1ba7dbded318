"""The chains that have a name: the paper's, the authors' later code's, and none at all."""

from __future__ import annotations

from clmr.augment.augmentation import Augmentation
from clmr.augment.delay import Delay
from clmr.augment.filter import Filter
from clmr.augment.gain import Gain
from clmr.augment.noise import Noise
from clmr.augment.pitch import Pitch
from clmr.augment.polarity import Polarity
from clmr.augment.reverb import Reverb

PRESETS: dict[str, tuple[Augmentation, ...]] = {
    # Appendix B of the paper; probabilities where it names them (section 3.3), else those of the authors' code.
    "paper": (
        Polarity(probability=0.8),
        Noise(probability=0.01, snr_db=(80.0, 80.0)),
        Gain(probability=0.3, db=(-6.0, 0.0)),
        Filter(probability=0.8, kind="first-order"),
        Delay(probability=0.4, ms=(200, 500)),
        Pitch(probability=0.4, semitones=(-5.0, 5.0)),
        Reverb(probability=0.4),
    ),
    # Version 2 of the authors' code with its libraries' defaults.
    "official": (
        Polarity(probability=0.8),
        Noise(probability=0.01, snr_db=(40.0, 80.0), around_mean=True),
        Gain(probability=0.3, db=(-20.0, -1.0), clamp=True),
        Filter(probability=0.8, kind="sinc"),
        Delay(probability=0.3, ms=(200, 450)),
        # Both run in sox, whose samples are integers: what exceeds +-1 is clipped.
        Pitch(probability=0.6, semitones=(-7.0, 7.0), whole_cents=True, clamp=True),
        Reverb(probability=0.6, whole=True, clamp=True),
    ),
    # Two crops and nothing else: the paper's point of comparison (Table 2) and, for one view, its identity branch.
    "crop": (),
}
