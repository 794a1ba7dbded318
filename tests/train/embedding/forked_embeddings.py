"""Embeddings that are broken off, and one on two ranks: ``forked_embeddings.py FOLDER WEIGHTS OUT OPTION ...``.

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

from tests.train.launching import free_port
from train.embed import main
from train.embedding.decoding import Outcome
from train.embedding.progress import Progress

DIE_AT = 4
"""Files that are done when a signal comes."""


def embed(arguments: Sequence[str], what: signal.Signals | None) -> None:
    """Embed, and get the signal ``what``."""
    settle = Progress.settle

    def settled(progress: Progress, outcome: Outcome) -> None:
        settle(progress, outcome)
        if what is not None and len(progress.done) == DIE_AT:
            os.kill(os.getpid(), what)

    with patch.object(Progress, "settle", settled):
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
    folder, weights, out = sys.argv[1:4]
    shared = ["--audio", folder, "--checkpoint", weights, *sys.argv[4:]]
    for name, what in (("killed", signal.SIGKILL), ("interrupted", signal.SIGINT)):
        print(name, statuses([forked([*shared, "--out", str(Path(out) / name)], what, {})]), flush=True)
    ranks = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    two = [*shared, "--out", str(Path(out) / "two")]
    print("two", statuses([forked(two, None, {**ranks, "RANK": rank, "LOCAL_RANK": rank}) for rank in "01"]))
