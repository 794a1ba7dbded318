"""Shards to batches on the device: crop pairs for pretraining, windows for features."""
