"""A compiled model trains as the plain one does, under the same names.

With the backend ``aot_eager``, which traces both passes as ``inductor`` does and leaves out the kernels that inductor
would take minutes to build.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters
from torch.nn.parallel import DistributedDataParallel

from clmr.errors import ConfigError
from tests.train.launching import flat
from tests.train.test_trainer import HERE, settings
from train.ceilings import measure_consumer
from train.compiling import compiled
from train.trainer import Trainer


def test_compiled_training_is_the_same(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.trainer.compiled", partial(compiled, backend="aot_eager"))
    counters.clear()
    ends = []
    for compile_it in (False, True):
        chosen = settings(shards, augment="crop", steps=100, schedule="cosine", compile=compile_it)
        trainer = Trainer(chosen, HERE)
        with trainer.loader:
            if compile_it:
                measure_consumer(trainer, 50)  # its steps are those of a copy
            batches = iter(trainer.loader)
            losses = [trainer.step(next(batches))["loss"] for _ in range(3)]
        # A trainer made from the state goes on with the same names.
        again = Trainer(chosen, HERE, {**trainer.state(), "step": trainer.step_count})
        again.loader.close()
        assert flat(again.state()["model"]).keys() == flat(trainer.state()["model"]).keys()
        ends.append({"losses": torch.stack(losses), **flat(trainer.state()["model"])})
    plain, ours = ends
    assert list(ours) == list(plain)
    for name, value in plain.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-6, atol=1e-6, msg=name)
    assert counters["stats"]["unique_graphs"] == 1, "compiled anew for a step or for the copy"
    assert not counters["graph_break"]


def test_several_processes_are_refused() -> None:
    with pytest.raises(ConfigError, match="--compile is for one process"):
        compiled(DistributedDataParallel.__new__(DistributedDataParallel))
