"""What the webdataset backend is made of: shards from front to back, without an index."""
