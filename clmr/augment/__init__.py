"""The paper's audio augmentations as batched functions, each row with parameters of its own."""

from clmr.augment.chain import Chain, Table
from clmr.augment.delay import Delay, delay
from clmr.augment.filter import Filter
from clmr.augment.gain import Gain, gain
from clmr.augment.noise import Noise, add_noise
from clmr.augment.onepole import first_order_filter
from clmr.augment.pcm import from_int16
from clmr.augment.polarity import Polarity, invert_polarity
from clmr.augment.sinc import sinc_filter

__all__ = [
    "Chain",
    "Delay",
    "Filter",
    "Gain",
    "Noise",
    "Polarity",
    "Table",
    "add_noise",
    "delay",
    "first_order_filter",
    "from_int16",
    "gain",
    "invert_polarity",
    "sinc_filter",
]
