"""What a run is on disk and how it ends: its folder, checkpoints and their copies, log, signals."""
