"""The parts of the linear probe: its settings, splits, heads, scores and files (train/probe.py is the command)."""
