"""Windows of some tracks in two dimensions by t-SNE (paper Figures 8 and C.1; Maaten and Hinton, 2008).

Distances between clusters and their sizes mean nothing in such a picture. So a number is given that needs none: how
often the nearest other window, by the cosine of the features themselves, is of the same track.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clmr.errors import ConfigError, FeatureError
from train.features import Features, open_features
from train.figures.style import COLOURS, MARKERS, FigureData, picture
from train.probing.named_tracks import read_named_tracks

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TsneSettings:
    """What is drawn."""

    split: str = "valid"
    """Where the tracks are from; the paper's are from the validation set."""
    tracks: int = 10
    """Drawn without replacement."""
    windows: int = 60
    """Of a track, its first; the paper's tracks have sixty."""
    perplexity: float | None = None
    """Of t-SNE, below the number of windows; None for the windows of a track in the median, at most 30."""
    seed: int = 0
    """Of the choice of tracks and of t-SNE."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """The chosen windows of one dump."""

    features: Array
    """``[W, width]``"""
    owner: npt.NDArray[np.int64]
    """Place among the chosen tracks, ``[W]``."""
    keys: tuple[str, ...]
    """Of the chosen tracks."""


def choose_tracks(dump: Features, keys: list[str], settings: TsneSettings) -> list[str]:
    """Seeded choice among the tracks of the split that have two windows, the same for every dump of the shards.

    Raises:
        FeatureError: there are too few of them.
    """
    fit = sorted(keys[index] for index in np.flatnonzero((dump.split == settings.split) & (dump.windows > 1)))
    if len(fit) < settings.tracks:
        raise FeatureError(
            f"split {settings.split!r} has {len(fit)} tracks of two windows or more, and {settings.tracks} are wanted; "
            "lower --tracks or choose another --split"
        )
    return sorted(np.random.default_rng(settings.seed).choice(fit, settings.tracks, replace=False).tolist())


def read_cloud(dump: Features, keys: list[str], chosen: list[str], most: int) -> Cloud:
    """The first windows of the chosen tracks.

    Raises:
        FeatureError: a track is not in the dump, or its windows overlap.
    """
    if dump.origin.get("hop_frames", dump.origin["window_frames"]) < dump.origin["window_frames"]:
        raise FeatureError(
            "the windows overlap, so the nearest one is always of the same track: run train/embed.py without --hop"
        )
    place = {key: index for index, key in enumerate(keys)}
    missing = [key for key in chosen if key not in place]
    if missing:
        raise FeatureError(f"track {missing[0]} of the first dump is not in the others; embed the same shards")
    rows = [dump.first[place[key]] + np.arange(min(most, int(dump.windows[place[key]]))) for key in chosen]
    features = dump.matrix[np.concatenate(rows)].astype(np.float64)
    if not np.isfinite(features).all():
        raise FeatureError("the features are not all finite; did the pretraining diverge?")
    owner = np.repeat(np.arange(len(chosen)), [len(each) for each in rows])
    return Cloud(features, owner, tuple(chosen))


def neighbour_share(cloud: Cloud) -> float:
    """Share of the windows whose nearest other window, by cosine, belongs to the same track."""
    norms = np.linalg.norm(cloud.features, axis=1, keepdims=True)
    unit = cloud.features / np.maximum(norms, 1e-12)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return float((cloud.owner[similarity.argmax(axis=1)] == cloud.owner).mean())


def manifold(features: Array, perplexity: float, seed: int) -> Array:
    """Two coordinates of each window, ``[W, 2]``: scikit-learn's t-SNE from the first two principal components.

    Raises:
        ConfigError: the perplexity does not fit the number of windows.
    """
    from sklearn.manifold import TSNE

    if not 1 <= perplexity < len(features):
        raise ConfigError(
            f"--perplexity {perplexity:g}: from 1 to below the number of windows, which is {len(features)}"
        )
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1)
    points: Array = tsne.fit_transform(features.astype(np.float32)).astype(np.float64)
    return points


def draw_tsne(dumps: Mapping[str, Path], settings: TsneSettings, out: Path) -> FigureData:
    """Draw the same tracks from one feature dump or several, one under the other; returns the numbers.

    Args:
        dumps: name -> feature folder.
        settings: what is drawn.
        out: where tsne.png, .svg, .json and .csv are written.

    Raises:
        FeatureError: a dump is missing, damaged, or holds other tracks.
        ConfigError: the perplexity does not fit.
    """
    opened = {name: (open_features(folder), read_named_tracks(folder).key.tolist()) for name, folder in dumps.items()}
    chosen = choose_tracks(*next(iter(opened.values())), settings)
    clouds = {name: read_cloud(dump, keys, chosen, settings.windows) for name, (dump, keys) in opened.items()}
    first, cloud = next(iter(opened.values()))[0], next(iter(clouds.values()))
    counts = np.bincount(cloud.owner)
    perplexity = min(30.0, float(np.median(counts))) if settings.perplexity is None else settings.perplexity
    points = {name: manifold(cloud.features, perplexity, settings.seed) for name, cloud in clouds.items()}
    shares = {name: neighbour_share(cloud) for name, cloud in clouds.items()}
    chance = float((counts * (counts - 1)).sum() / (len(cloud.owner) * (len(cloud.owner) - 1)))
    seconds = first.origin["window_frames"] / first.origin["sample_rate"]
    rows: list[dict[str, Any]] = [
        {"features": name, "track": int(owner) + 1, "key": chosen[owner], "x": float(x), "y": float(y)}
        for name, found in points.items()
        for owner, (x, y) in zip(clouds[name].owner.tolist(), found.tolist(), strict=True)
    ]
    data = FigureData(
        title=f"{len(cloud.owner)} windows of {len(chosen)} tracks by t-SNE: "
        f"{first.origin['dataset']}, {settings.split} split",
        caption=(
            f"A point is a window of {seconds:.2f} s, colour, marker and number its track. Features as the encoder "
            f"gives them, PCA start, perplexity {perplexity:g}, seed {settings.seed}. Nearest: how often the nearest "
            f"other window by cosine of the features is of the same track; by chance {chance:.0%}."
        ),
        rows=tuple(rows),
        facts={
            "settings": {**asdict(settings), "perplexity": perplexity},
            "tracks": dict(enumerate(chosen, 1)),
            "encoders": {name: dump.origin["encoder"] for name, (dump, _) in opened.items()},
            "nearest_of_same_track": shares,
            "nearest_by_chance": chance,
        },
    )
    with picture(data, out, "tsne", height=1.2 + 4.4 * len(dumps), grid=(len(dumps), 1)) as (_, axes):
        for panel, (name, found) in zip(axes, points.items(), strict=True):
            _draw_cloud(panel, found, clouds[name].owner)
            panel.set_title(f"{name}: nearest of same track {shares[name]:.1%}", loc="left")
    return data


def _draw_cloud(axes: Any, points: Array, owner: npt.NDArray[np.int64]) -> None:
    """Points of each track, and its number at the point that is nearest to all of its own."""
    from matplotlib.patheffects import withStroke

    for track in range(int(owner.max()) + 1):
        own, colour = points[owner == track], COLOURS[track % len(COLOURS)]
        axes.scatter(*own.T, s=18, color=colour, marker=MARKERS[track % 5], linewidths=0, alpha=0.8)
        medoid = own[np.linalg.norm(own[:, None] - own, axis=2).sum(axis=1).argmin()]
        halo = [withStroke(linewidth=3, foreground="white")]
        axes.annotate(
            str(track + 1),
            medoid,
            (6, 5),
            textcoords="offset points",
            color=colour,
            weight="bold",
            path_effects=halo,
        )
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")  # its axes have neither unit nor direction
    axes.spines[["top", "right"]].set_visible(True)
