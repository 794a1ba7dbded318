"""Pretraining whose tests decide when it goes on: ``paced.py FOLDER ...``; see :func:`pace`."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from train.pretrain import main
from train.trainer import Trainer


def pace(step: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """Steps that wait: two processes before step 10 for the file ``go``, one before step 18 for SIGTERM."""

    def paced(trainer: Trainer, *args: Any, **options: Any) -> Any:
        if (trainer.place.world_size, trainer.step_count) == (2, 9):
            (folder / f"waiting-{trainer.place.rank}").touch()
            while not (folder / "go").exists():
                time.sleep(0.02)
        if (trainer.place.world_size, trainer.step_count) == (1, 17):
            (folder / "alone").touch()
            asked = getattr(signal.getsignal(signal.SIGTERM), "__self__")  # noqa: B009  # the run's StopRequest
            while asked.signal is None:
                time.sleep(0.02)
        return step(trainer, *args, **options)

    return paced


if __name__ == "__main__":
    Trainer.step = pace(Trainer.step, Path(sys.argv[1]))  # type: ignore[method-assign]
    main.main(sys.argv[2:])
