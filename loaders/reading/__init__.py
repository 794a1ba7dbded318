"""Pieces of shards into batches: threads, files, slabs, and the interface for every place bytes come from."""
