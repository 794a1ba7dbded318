"""Pretraining under torchrun where each rank is given its own --shards: ``unequal_ranks.py SHARDS_0,SHARDS_1 ...``."""

from __future__ import annotations

import os
import sys

from train.pretrain import main

if __name__ == "__main__":
    shards = sys.argv[1].split(",")[int(os.environ["RANK"])]
    main.main(["--shards", shards, *sys.argv[2:]])
