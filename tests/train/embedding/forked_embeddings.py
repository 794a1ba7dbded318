"""Embeddings broken off, and on two ranks: ``forked_embeddings.py FOLDER SHARDS WEIGHTS OUT OPTION ...``.

One process that has imported torch forks them, which saves the time of four starts; the exit statuses of each are a
line of the output, such as ``killed -9``.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

from torch import Tensor

from tests.train.launching import free_port
from train.embed import main
from train.embedding.decoding import Outcome
from train.embedding.progress import Progress
from train.features import FeatureWriter

DIE_AT = 4
"""Files that are done when a signal comes, or batches of shards."""


def embed(arguments: Sequence[str], what: signal.Signals | None) -> None:
    """Embed, and get the signal ``what``."""
    settle, write, written = Progress.settle, FeatureWriter.write, 0

    def settled(progress: Progress, outcome: Outcome) -> None:
        settle(progress, outcome)
        if what is not None and len(progress.done) == DIE_AT:
            os.kill(os.getpid(), what)

    def wrote(writer: FeatureWriter, features: Tensor) -> None:
        nonlocal written
        write(writer, features)
        written += 1
        if what is not None and written == DIE_AT:
            os.kill(os.getpid(), what)

    with patch.object(Progress, "settle", settled), patch.object(FeatureWriter, "write", wrote):
        main.main([*arguments, "--device", "cpu", "--threads", "1"], standalone_mode=False)


def forked(arguments: Sequence[str], what: signal.Signals | None, environment: Mapping[str, str]) -> int:
    """A child that embeds; returns its number."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        os.environ.update(environment)
        embed(arguments, what)
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        os._exit(status)


def statuses(children: Sequence[int]) -> str:
    """How children ended: exit statuses, and signals as negative numbers."""
    return " ".join(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) for child in children)


if __name__ == "__main__":
    folder, shards, weights, out = sys.argv[1:5]
    files, sharded = (
        [*source, "--checkpoint", weights, *sys.argv[5:]] for source in (("--audio", folder), ("--shards", shards))
    )
    for name, what, options in (
        ("killed", signal.SIGKILL, files),
        ("interrupted", signal.SIGINT, files),
        ("killed_shards", signal.SIGKILL, sharded),
    ):
        print(name, statuses([forked([*options, "--out", str(Path(out) / name)], what, {})]), flush=True)
    for name, options in (("two", files), ("two_shards", sharded)):
        ranks = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        ranks["MASTER_PORT"] = str(free_port())
        two = [*options, "--out", str(Path(out) / name)]
        children = [forked(two, None, {**ranks, "RANK": rank, "LOCAL_RANK": rank}) for rank in "01"]
        print(name, statuses(children), flush=True)
