"""Shards to batches on the device: crop pairs for pretraining, windows for features."""

from loaders.batch import Batch
from loaders.pairs import PairLoader
from loaders.settings import PairSettings
from loaders.windows import WindowBatch, WindowLoader

__all__ = ["Batch", "PairLoader", "PairSettings", "WindowBatch", "WindowLoader"]
