"""The paper's audio augmentations as batched functions, each row with parameters of its own."""

from clmr.augment.chain import Chain
from clmr.augment.delay import Delay, delay
from clmr.augment.filter import Filter
from clmr.augment.gain import Gain, gain
from clmr.augment.noise import Noise, add_noise
from clmr.augment.onepole import first_order_filter
from clmr.augment.pcm import from_int16
from clmr.augment.pitch import Pitch, pitch_shift
from clmr.augment.polarity import Polarity, invert_polarity
from clmr.augment.recipe import register
from clmr.augment.reverb import Reverb, reverb
from clmr.augment.sinc import sinc_filter
from clmr.augment.table import Table, load_table, save_table, table_from_rows, table_rows
from clmr.augment.views import Views

__all__ = [
    "Chain",
    "Delay",
    "Filter",
    "Gain",
    "Noise",
    "Pitch",
    "Polarity",
    "Reverb",
    "Table",
    "Views",
    "add_noise",
    "delay",
    "first_order_filter",
    "from_int16",
    "gain",
    "invert_polarity",
    "load_table",
    "pitch_shift",
    "register",
    "reverb",
    "save_table",
    "sinc_filter",
    "table_from_rows",
    "table_rows",
]
