"""A plan: which trainings with which options, and the commands that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from clmr.errors import ConfigError
from train.probing.settings import PRESETS
from train.runner.programs import parse, settings_of
from train.runner.stages import Places, Stage, embedding, probing, training
from train.runner.training import SHARDS, Training, probe_shards, shards_name

Piece = TypeVar("Piece")
HEADS = ("linear", "mlp")
KEPT = ("run", "recipe_name", "augment", "probability")
"""Options of train/pretrain.py that make it another training altogether."""


@dataclass(frozen=True)
class Unit:
    """Stages in a row; when one fails, those behind it are left out, and the next unit goes on."""

    name: str
    """In what is printed."""
    folder: Path
    """Held meanwhile, so that no other runner works there."""
    stages: tuple[Stage, ...]
    """First to last."""
    about: str = ""
    """What else is to be said of it: cost, and the recipes that are the same training."""
    share: str = ""
    """The part of the folder that is held, where units share it."""
    hours: float | None = None
    """GPU-hours of all of it on the GPU of docs/recipes.md, where they are known."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What ``python -m train.runner run`` was asked for."""

    trainings: tuple[Training, ...]
    """In the order in which they are run."""
    out: Path
    """Holds a folder for each: run, features/DATASET, probe/DATASET/PRESET-HEAD."""
    shards: Mapping[str, str] = field(default_factory=dict)
    """Where shards are that do not lie in data/shards/NAME, by NAME."""
    presets: tuple[str, ...] = ("paper",)
    """Of train/probe.py."""
    heads: tuple[str, ...] = HEADS
    """``linear``, and ``mlp`` for a hidden layer."""
    seeds: int = 3
    """Heads of each kind, whose mean and spread the tables show."""
    also_on: tuple[str, ...] = ()
    """Names of shards that every encoder is probed on besides."""
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Options for the programs ``pretrain``, ``cpc`` and ``supervised``, which override those of the paper."""
    places: Places = field(default_factory=Places)

    def folder(self, name: str) -> str:
        """Where the shards of that name are."""
        return self.shards.get(name, SHARDS + name)

    def arguments(self, training: Training) -> tuple[str, ...]:
        """Options of its program, without ``--run``."""
        moved: list[str] = []
        for each in training.shards:
            name = shards_name(each)
            weight = each.removeprefix(each.partition("=")[0])
            moved.append(each if name not in self.shards else self.shards[name] + weight)
        if training.program == "pretrain" and tuple(moved) == training.shards:
            moved = []  # the recipe says so already
        shards = [word for each in moved for word in ("--shards", each)]
        given = self.options.get(training.program, ())
        own = training.arguments
        if length_of(given) and "--epochs" in own:  # the length given last counts, as in recipes
            place = own.index("--epochs")
            own = own[:place] + own[place + 2 :]
        return (*own, *shards, *given)

    def unit(self, each: Training) -> Unit:
        """The commands of one training.

        Raises:
            ConfigError: an option is unknown, out of range, or makes it another training.
        """
        home, script, arguments = self.out / each.name, f"{each.program}.py", self.arguments(each)
        run = home / "run"
        self._check(each, arguments, run)
        stages: list[Stage] = [training(script, arguments, run, self.places)]
        settings = settings_of(script, (*arguments, "--run", str(run)))
        if each.program != "supervised":
            papers = [probe_shards(each, dataset, settings["sample_rate"]) for dataset in each.probed_on]
            for dataset in dict.fromkeys([*papers, *self.also_on]):
                features = home / "features" / dataset
                stages.append(embedding(("--run", run), self.folder(dataset), features, self.places))
                stages += probes(features, home / "probe" / dataset, self.presets, self.heads, self.seeds)
        hours = gpu_hours(each, settings)
        known = f"about {hours:.2g} GPU-hours" if hours is not None else "GPU-hours unknown"
        same = f"; also {', '.join(each.also)}" if each.also else ""
        return Unit(each.name, home, tuple(stages), known + same, hours=hours)

    def _check(self, each: Training, arguments: tuple[str, ...], run: Path) -> None:
        """Refuse options that would make the training of a recipe another one."""
        script, given = f"{each.program}.py", self.options.get(each.program, ())
        plain = (*arguments[: len(arguments) - len(given)], "--run", str(run))
        here, asked = parse(script, (*plain, *given)).params, parse(script, (*plain, *length_of(given))).params
        if each.program == "pretrain":
            for name in KEPT:
                if here[name] != asked[name]:
                    option = "--" + name.removesuffix("_name")
                    raise ConfigError(
                        f"{option} after the -- would make {each.name} another recipe; write one of your own in a file "
                        "(docs/recipes.md) and give its path"
                    )
        elif here["run"] != run:
            raise ConfigError(f"--run {here['run']}: folders follow from --out; leave it out")
        if here["shards"] != asked["shards"]:
            raise ConfigError("shards of a plan are given by their names, --shards NAME=FOLDER before the --")


def length_of(options: Sequence[str]) -> tuple[str, ...]:
    """Those of some options that say how long a training is."""
    words = [word for option in options for word in option.split("=", 1)] if options else []
    found: list[str] = []
    for place, word in enumerate(words[:-1]):
        if word in {"--epochs", "--steps"}:
            found += [word, words[place + 1]]
    return tuple(found)


def probes(features: Path, out: Path, presets: tuple[str, ...], heads: tuple[str, ...], seeds: int) -> list[Stage]:
    """A probe for every preset and kind of head; a preset whose solver fits linear heads alone has no other."""
    return [
        probing(features, out / f"{preset}-{head}", probe_options(preset, head, seeds))
        for preset in presets
        for head in heads
        if head == "linear" or PRESETS[preset].solver != "lbfgs"
    ]


def probe_options(preset: str, head: str, seeds: int) -> tuple[str, ...]:
    """As options of train/probe.py; a preset that draws nothing has no seeds."""
    counted = ("--seeds", str(seeds)) if PRESETS[preset].draws else ()
    return ("--preset", preset, "--head", head, *counted)


def share_of(everything: Sequence[Piece], only: str | None) -> list[Piece]:
    """The I-th of N shares of a plan, for the tasks of an array job: every N-th piece, beginning with the I-th.

    Raises:
        ConfigError: ``only`` is not I/N with 1 <= I <= N.
    """
    if only is None:
        return list(everything)
    one, slash, of = only.partition("/")
    if not (slash and one.isdecimal() and of.isdecimal() and 1 <= int(one) <= int(of)):
        raise ConfigError(f"--only {only}: write I/N, such as 1/8 for the first of eight shares")
    return list(everything[int(one) - 1 :: int(of)])


def gpu_hours(each: Training, settings: Mapping[str, Any]) -> float | None:
    """What a recipe says its training costs, in proportion to the pairs that the settings make of it."""
    cost = each.cost
    if not {"pairs", "tracks", "gpu_hours"} <= set(cost):
        return None
    steps, epochs = settings["steps"], settings["epochs"]
    pairs = steps * settings["batch_size"] if steps is not None else epochs * cost["tracks"]
    return float(cost["gpu_hours"] * pairs / cost["pairs"])


def cost_line(units: Sequence[Unit]) -> str:
    """What is left to do."""
    left = [unit for unit in units if not unit.stages[0].finished()]
    hours = sum(unit.hours or 0 for unit in left)
    unknown = [unit.name for unit in left if unit.hours is None]
    but = f"; the cost of {', '.join(unknown)} is not known" if unknown else ""
    return (
        f"{len(units)} trainings, {len(left)} of them not finished: about {hours:.3g} GPU-hours{but}. "
        "That is of a GTX 1080 Ti at width 512, estimated as docs/recipes.md says."
    )
