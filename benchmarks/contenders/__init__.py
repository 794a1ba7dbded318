"""Ways to get the same crop pairs, PairLoader's among them; each is measured in a process of its own."""
