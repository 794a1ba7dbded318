"""What the study compares: every system's commands, one unit for each seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from train.runner.labels import share_options
from train.runner.plan import Unit, probe_options
from train.runner.stages import Places, Stage, embedding, probing, training
from train.study.plan import ALONE, StudyPlan

SPECTRUM = "log-spectrum"
UNTRAINED = "untrained"
PRETRAINED = "pretrained"
CHAIN = "chain"
"""The paper's whole chain, trained as long as each augmentation alone."""
SUPERVISED = "supervised"
FROZEN = (SPECTRUM, UNTRAINED, PRETRAINED, CHAIN, *ALONE)
"""Systems whose features are probed."""


def seeds_of(system: str, plan: StudyPlan) -> range:
    """Seeds of a system; the spectrum has nothing to draw."""
    return range(1 if system == SPECTRUM else plan.seeds)


def percent_of(system: str, plan: StudyPlan) -> tuple[float, ...]:
    """Shares of the labels that a system is scored with; augmentations alone are compared with all labels."""
    if system == SUPERVISED:
        return plan.supervised_percent
    return (100.0,) if system in ALONE else plan.percent


def draws_of(percent: float, plan: StudyPlan) -> range:
    """Draws of the songs of a share of the labels; of all songs there is one."""
    return range(1 if percent == 100 else plan.draws)


def steps_of(system: str, plan: StudyPlan) -> int:
    """Steps of its pretraining."""
    return {UNTRAINED: plan.calibration_steps, PRETRAINED: plan.steps}.get(system, plan.steps_alone)


def home_of(out: Path, system: str, seed: int) -> Path:
    """Folder of one seed of a system."""
    return out / system / f"seed-{seed}"


def scores_folder(out: Path, system: str, seed: int, percent: float, draw: int) -> Path:
    """Where the scores of a system with a share of the labels are."""
    return home_of(out, system, seed) / "scores" / f"percent-{percent:g}-draw-{draw}"


def pretraining(system: str, plan: StudyPlan) -> tuple[str, ...]:
    """Options of train/pretrain.py that make the system, without shards, folder and seed."""
    chain: tuple[str, ...] = ("--recipe", f"table2-{system}") if system in ALONE else ("--augment", "paper")
    options: dict[str, object] = {
        "--sample-rate": plan.sample_rate,
        "--width": plan.width,
        "--batch-size": plan.batch_size,
        "--temperature": plan.temperature,
        "--steps": steps_of(system, plan),
        "--precision": plan.precision,
    }
    if system == UNTRAINED:
        options["--learning-rate"] = 0.0
    else:
        options |= {"--learning-rate": plan.learning_rate, "--schedule": "cosine", "--warmup-steps": plan.warmup_steps}
    # What the machine could reach is not the study's question.
    return (*chain, *_words(options), "--no-ceilings")


def frozen_unit(system: str, seed: int, plan: StudyPlan, shards: str, out: Path, places: Places) -> Unit:
    """Pretrain, embed, and probe with every share of the labels."""
    home = home_of(out, system, seed)
    features, stages = home / "features", list[Stage]()
    if system == SPECTRUM:
        spectrum = ("--baseline", "log-spectrum", "--shards", shards, "--out", str(features))
        stages.append(Stage("embedding features", "embed.py", spectrum, features, "features.json", places))
    else:
        arguments = (*pretraining(system, plan), "--shards", shards, "--seed", str(seed))
        stages.append(training("pretrain.py", arguments, home / "run", places))
        stages.append(embedding(("--run", home / "run"), shards, features, places))
    for percent in percent_of(system, plan):
        for draw in draws_of(percent, plan):
            options = (*probe_options("fast", "linear", 1), *share_options(percent, draw))
            stages.append(probing(features, scores_folder(out, system, seed, percent, draw), options))
    return Unit(home.relative_to(out).as_posix(), home, tuple(stages))


def supervised_unit(
    seed: int, percent: float, draw: int, plan: StudyPlan, shards: str, out: Path, places: Places
) -> Unit:
    """Train the network on one share of the labels."""
    folder = scores_folder(out, SUPERVISED, seed, percent, draw)
    options = {
        "--sample-rate": plan.sample_rate,
        "--width": plan.width,
        "--batch-size": plan.batch_size,
        "--epochs": plan.epochs(percent),
        "--patience": plan.patience(percent),
        "--learning-rate": plan.supervised_rate,
        "--precision": plan.precision,
        "--seed": seed,
        "--shards": shards,
    }
    arguments = (*_words(options), *share_options(percent, draw))
    stage = training("supervised.py", arguments, folder, places)
    return Unit(folder.relative_to(out).as_posix(), home_of(out, SUPERVISED, seed), (stage,), share=folder.name)


def units_of(plan: StudyPlan, shards: str, out: Path, places: Places) -> list[Unit]:
    """Everything, the longest first, so that shares of the plan end at about the same time."""
    return list(_units(plan, shards, out, places))


def _units(plan: StudyPlan, shards: str, out: Path, places: Places) -> Iterator[Unit]:
    for seed in range(plan.seeds):
        yield frozen_unit(PRETRAINED, seed, plan, shards, out, places)
    for percent in sorted(plan.supervised_percent, reverse=True):
        for draw in draws_of(percent, plan):
            for seed in range(plan.seeds):
                yield supervised_unit(seed, percent, draw, plan, shards, out, places)
    for seed in range(plan.seeds):
        for system in (CHAIN, *ALONE, UNTRAINED):
            yield frozen_unit(system, seed, plan, shards, out, places)
    yield frozen_unit(SPECTRUM, 0, plan, shards, out, places)


def _words(options: dict[str, object]) -> list[str]:
    return [str(word) for pair in options.items() for word in pair]
