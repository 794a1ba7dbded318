"""Who takes part in the benchmark of the effects, with which effects, and what each lacks."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders.augment_crops import PAPER
from benchmarks.turns import Contender

OURS = "clmr.augment"
OURS_AS_SOX = "clmr.augment, pitch and reverb"
SOX = "sox, pitch and reverb"
OFFICIAL = "official chain"
NOTHING = "nothing"
"""A made-up effect of sox alone: start, read, write."""
SOX_EFFECTS = ("pitch", "reverb")
WITHOUT_DELAY = tuple(name for name in PAPER if name != "delay")
HERE = "benchmarks.contenders"


@dataclass(frozen=True)
class Interpreters:
    """Where the libraries are installed that want other packages than this project's."""

    official: str
    peers: str


@dataclass(frozen=True)
class Library:
    """Something that has some of the effects."""

    name: str
    module: str
    """Of :mod:`benchmarks.contenders`, with a function ``views``."""
    effects: tuple[str, ...]
    """Those of the paper that it has, or has something like."""
    python: str
    packages: tuple[str, ...]
    """Whose versions are told."""
    both_cores: Mapping[str, Mapping[str, Any]]
    """Ways to use several cores in the chain: ending of the name -> settings, ``None`` standing for their number."""
    one_core: Mapping[str, Any]
    """Settings with which one core is used."""
    responses: bool = False
    """Whether it takes ready-made impulse responses."""


def libraries(interpreters: Interpreters) -> tuple[Library, ...]:
    """Everybody, ours first."""
    here, workers = sys.executable, {"workers": None}
    either_way = {", worker processes": workers, ", threads": {"threads": None}}
    versions = ("torch", "torchaudio", "numpy")
    return (
        Library(OURS, "augment_ours", tuple(PAPER), here, ("torch", "numpy"), {"": {"threads": None}}, {"threads": 1}),
        Library(
            OFFICIAL,
            "augment_official",
            tuple(PAPER),
            interpreters.official,
            (*versions, "torchaudio-augmentations", "wavaugment", "julius"),
            {"": workers},
            {"workers": 0},
        ),
        Library("sox", "augment_sox", SOX_EFFECTS, here, (), {"": {"processes": None}}, {"processes": 1}),
        Library(
            "audiomentations",
            "augment_audiomentations",
            WITHOUT_DELAY,
            interpreters.peers,
            ("torch", "numpy", "scipy", "audiomentations", "python-stretch"),
            {"": workers},
            {"workers": 0},
            responses=True,
        ),
        Library(
            "torch-audiomentations",
            "augment_torch_audiomentations",
            WITHOUT_DELAY,
            interpreters.peers,
            (*versions, "torch-audiomentations", "torch-pitch-shift", "julius"),
            either_way,
            {"threads": 1},
            responses=True,
        ),
        Library(
            "torchaudio",
            "augment_torchaudio",
            WITHOUT_DELAY,
            here,
            versions,
            either_way,
            {"threads": 1},
            responses=True,
        ),
    )


def _contender(
    library: Library, name: str, effects: Mapping[str, float], settings: Mapping[str, Any], folder: Path
) -> Contender:
    options = {"crops": str(folder / "crops.npy"), "effects": dict(effects), **settings}
    if library.responses:
        options["responses"] = str(folder / "responses")
    # A worker or a thread per core is what is measured, so nothing below may start threads of its own.
    threads = str(settings.get("threads", 1))
    environment = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return Contender(name, f"{HERE}.{library.module}:views", options, library.python, environment)


def chains(everybody: tuple[Library, ...], cores: int, folder: Path) -> list[Contender]:
    """The paper's chain at the same probabilities on so many cores; sox with the two effects that it has."""
    found = []
    for library in everybody:
        effects = {name: PAPER[name] for name in library.effects}
        name = SOX if library.module == "augment_sox" else library.name
        for ending, ways in library.both_cores.items():
            settings = {option: cores if value is None else value for option, value in ways.items()}
            found.append(_contender(library, name + ending, effects, settings, folder))
            if library.name == OURS:
                both = {name: PAPER[name] for name in SOX_EFFECTS}
                found.append(_contender(library, OURS_AS_SOX, both, settings, folder))
    return found


def single(everybody: tuple[Library, ...], effect: str, folder: Path) -> list[Contender]:
    """Those that have an effect, with every row open, on one core."""
    return [
        _contender(library, library.name, {effect: 1.0}, library.one_core, folder)
        for library in everybody
        if effect in library.effects or (effect == NOTHING and library.module == "augment_sox")
    ]
