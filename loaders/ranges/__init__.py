"""Remote shards by ranges: only the bytes of crops, hundreds of requests at once."""
