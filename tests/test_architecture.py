"""The layout holds: who may import whom, which third party lives where, and no file of train/ hides a module."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("clmr", "sharding", "loaders", "train")

# One way from recordings to PCM, whether it ends in shards or in features.
DECODING = (
    *("sharding.datasets.catalog", "sharding.datasets.tree"),
    *("sharding.decode", "sharding.faults", "sharding.opened"),
)
# What each package may import of the other three, as module prefixes.
ALLOWED = {
    "clmr": (),
    "sharding": ("clmr.errors",),
    "loaders": ("clmr", "sharding.format", "sharding.storage"),
    "train": ("clmr", "loaders", "sharding.format", "sharding.page", "sharding.publish", "sharding.storage", *DECODING),
}
# clmr/cli.py is the roof: it names every command and imports one when it is asked for.
ROOF = "clmr/cli.py"

# Third parties that may appear in these files only (of the four packages).
CONFINED = {
    "soundfile": (
        *("sharding/decode.py", "sharding/opened.py", "sharding/probe.py"),  # recordings to PCM
        *("sharding/page/excerpt.py", "sharding/datasets/demo"),  # PCM to MP3
        "clmr/augment/listen/",  # both ways
    ),
    "soxr": ("sharding/decode.py", "clmr/augment/listen/"),
    "pyarrow": ("sharding/", "train/features.py", "train/embedding/", "train/probing/named_tracks.py"),
    "webdataset": ("loaders/webdataset.py",),
    "nvidia": ("loaders/dali.py",),
    "obstore": ("sharding/storage/objects.py",),
    "distributed": ("sharding/cluster.py",),
    "sklearn": ("clmr/metrics.py", "train/probing/independent.py", "train/figures/tsne.py"),
    "click": (
        *("clmr/cli.py", "clmr/augment/__main__.py", "sharding/__main__.py", "sharding/study/__main__.py"),
        *("loaders/__main__.py", "train/"),
    ),
    "torchaudio": ("sharding/datasets/gtzan.py", "clmr/augment/listen/pictures.py", "clmr/marble.py"),
    "tqdm": ("sharding/", "train/"),
    "matplotlib": ("train/", "clmr/augment/listen/"),
    "triton": ("clmr/augment/kernels/", "clmr/kernels/"),
    "onnx": ("clmr/export.py",),
    "onnxruntime": (),
    "scipy": (),
}


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    """Full names of the modules a file imports, wherever in the file, and for `from a import b` also `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    package = place.split("/", maxsplit=1)[0]
    for name in imports(path):
        top = name.split(".")[0]
        if top in PACKAGES and top != package and place != ROOF:
            assert any(within(name, prefix) for prefix in ALLOWED[package]), f"{place} imports {name}"
        if top in CONFINED:
            assert place.startswith(CONFINED[top]), f"{place} imports {name}"


def test_the_check_sees_a_forbidden_import(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("def f():\n    from sharding.decode import decode\n    import soundfile\n")
    assert set(imports(file)) == {"sharding.decode.decode", "soundfile"}


def test_train_hides_no_module() -> None:
    """Torchrun puts train/ first on the module path, so a file there must not bear another module's name."""
    taken = set(sys.stdlib_module_names) | set(packages_distributions())
    names = {path.stem for path in (ROOT / "train").iterdir()} - {"__init__", "__pycache__"}
    assert not names & taken


def test_files_are_short_and_have_docstrings() -> None:
    for path in sources():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 300, f"{path} is too long to read in one sitting"
        assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"
        assert path.stem not in {"utils", "common", "helpers"}


def test_every_package_means_the_same_crop() -> None:
    """The sharder may not import the encoder, so it states the encoder's crop lengths once more."""
    from clmr import crop_frames
    from sharding.plan import SHORTEST_TRACK

    assert {rate: crop_frames(rate) for rate in SHORTEST_TRACK} == SHORTEST_TRACK
