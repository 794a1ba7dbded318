"""What a run waits for: ceilings, waiting, traffic, and one line that judges them."""
