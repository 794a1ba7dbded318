"""Shards to batches on the device: crop pairs for pretraining, windows for features."""

from loaders.pairs import Batch, PairLoader
from loaders.windows import WindowBatch, WindowLoader

__all__ = ["Batch", "PairLoader", "WindowBatch", "WindowLoader"]
