"""The systems that the paper compares CLMR with, which are no recipes of train/pretrain.py.

CPC has the data sets and epochs of the CLMR recipe beside it: the paper prints no epochs of its own for CPC. The paper
cites the scores of the supervised SampleCNN; here it is trained (docs/supervised.md).
"""

from __future__ import annotations

from train.runner.training import SHARDS, Training

SPLITS = {"fma": ("train", "valid"), "billboard": ("train", "valid", "test"), "gtzan": ("train", "valid", "test")}
"""What CPC is trained on, as the CLMR recipe; the others have ``train`` alone."""
EPOCHS = {"mtat": 10_000, "fma": 1_000, "billboard": 10_000, "gtzan": 10_000}


def _cpc(dataset: str) -> Training:
    splits = tuple(word for split in SPLITS.get(dataset, ()) for word in ("--split", split))
    return Training(
        name=f"cpc-{dataset}",
        program="cpc",
        arguments=("--epochs", str(EPOCHS[dataset]), *splits),
        shards=(SHARDS + ("mtat-song" if dataset == "mtat" else dataset),),
        probed_on=("mtat",),
        note="the paper does not print CPC's epochs; those of the CLMR recipe are taken",
    )


def _supervised(dataset: str) -> Training:
    return Training(f"supervised-{dataset}", "supervised", (), (SHARDS + dataset,), (dataset,))


BASELINES = {each.name: each for each in (*map(_cpc, EPOCHS), *map(_supervised, ("mtat", "msd")))}
