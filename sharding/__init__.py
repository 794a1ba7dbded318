"""Recordings to shards: data sets, decoding, planning, building, checking; owns the on-disk format."""
