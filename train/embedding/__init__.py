"""Features of audio files as they lie on a disk, without shards: what train/embed.py does for ``--audio``.

files.py      which files there are, and which rank takes which
windows.py    where the windows of a recording lie, cut out of its samples as they come
decoding.py   threads that decode a few files ahead, in order
progress.py   a rank's rows and what became of its files, on the disk, so that a killed run goes on
audio.py      windows of many files to batches, through the encoder, to rows
tables.py     the Parquet files of a feature folder
"""
