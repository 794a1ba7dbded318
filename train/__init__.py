"""Entry points: pretrain, embed, probe and the demo that runs the chain."""
