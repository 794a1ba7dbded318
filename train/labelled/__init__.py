"""The parts of train/supervised.py: labelled windows, the network, its steps and scores."""
