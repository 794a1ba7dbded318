"""Remote shards by streaming: whole shards pass through a cache on a local disk."""
