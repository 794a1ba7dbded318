"""Spectra of what each layer's filters listen for, sorted by their peaks (paper Figures 7 and C.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from clmr.errors import ConfigError
from sharding.publish import publish
from train.figures.ascent import FRAMES, AscentSettings, Layer, layers_of, most_exciting, spectra
from train.figures.style import FigureData, picture


def choose_layers(encoder: nn.Module, numbers: Sequence[int]) -> list[Layer]:
    """The layers of these numbers, all that answer to 729 samples if there are none.

    Raises:
        ConfigError: there is no such layer, or it needs a longer waveform.
    """
    layers = {layer.number: layer for layer in layers_of(encoder)}
    for number in numbers:
        if number not in layers:
            raise ConfigError(f"--layer {number}: {FRAMES} samples reach layers 1 to {len(layers)} of this encoder")
    return [layers[number] for number in numbers] or list(layers.values())


def draw_filters(
    encoder: nn.Module,
    name: str,
    sample_rate: int,
    settings: AscentSettings,
    out: Path,
    numbers: Sequence[int] = (),
) -> FigureData:
    """Draw a panel for each layer: filters along, frequency up, sorted by the frequency of the peak.

    Besides the numbers of the other figures it writes filters.npz: ``layer_N``, the spectra ``[filters, 365]`` in the
    encoder's order of filters, and ``hz``, the frequencies.

    Args:
        encoder: in evaluation mode, of :func:`layers_of`.
        name: what the title calls it.
        sample_rate: Hz of its audio.
        settings: of the ascent.
        out: where filters.png, .json, .csv and .npz are written.
        numbers: of the layers; all that answer to 729 samples if empty.

    Raises:
        ConfigError: there is no such layer.
    """
    layers = choose_layers(encoder, numbers)
    device = next(encoder.parameters()).device
    encoder.requires_grad_(requires_grad=False)
    reached = {layer.number: most_exciting(layer, settings, device) for layer in layers}
    found = {number: spectra(each.waveforms) for number, each in reached.items()}
    hz = np.fft.rfftfreq(FRAMES, 1 / sample_rate)
    rows: list[dict[str, Any]] = [
        {"layer": number, "filter": index, "peak_hz": peak, "response_to_noise": before, "response": after}
        for number, each in reached.items()
        for index, (peak, before, after) in enumerate(
            zip(hz[found[number].argmax(axis=1)].tolist(), each.before.tolist(), each.after.tolist(), strict=True)
        )
    ]
    data = FigureData(
        title=f"What the filters listen for: {name}",
        caption=(
            f"Each column is a filter: magnitude spectrum of {FRAMES} samples at {sample_rate:,} Hz after "
            f"{settings.steps} steps of gradient ascent from white noise (seed {settings.seed}) on its mean rectified "
            f"response; steps of {settings.step_size:g} of the waveform's RMS, which is held. Over its own peak, "
            "sorted by the peak's frequency; drawn is the largest of 5 bins."
        ),
        rows=tuple(rows),
        facts={"settings": asdict(settings), "sample_rate": sample_rate, "samples": FRAMES, "bin_hz": float(hz[1])},
    )
    arrays: dict[str, Any] = {f"layer_{number}": each.astype(np.float32) for number, each in found.items()}
    with publish(out / "filters.npz") as path, path.open("wb") as file:
        np.savez_compressed(file, hz=hz, **arrays)
    lines = (len(found) + 1) // 2 if len(found) > 1 else 1
    columns = min(2, len(found))
    with picture(data, out, "filters", height=2.2 + 2.4 * lines, svg=False, grid=(lines, columns)) as (figure, axes):
        for panel in axes[len(found) :]:
            panel.set_axis_off()
        for index, (panel, (number, each)) in enumerate(zip(axes, found.items(), strict=False)):
            order = np.argsort(each.argmax(axis=1), kind="stable")
            size = (0.5, len(each) + 0.5, 0, sample_rate / 2000)
            # A line of one bin would vanish on a small screen: drawn is the largest of 5 neighbours, 73 of them.
            drawn = each[order].reshape(len(each), -1, 5).max(axis=2).T
            image = panel.imshow(
                drawn, origin="lower", aspect="auto", extent=size, cmap="magma", vmax=1, vmin=0, interpolation="nearest"
            )
            panel.set_title(f"layer {number}", loc="left")
            if index % columns == 0:
                panel.set_ylabel("frequency (kHz)")
            if index >= len(found) - columns:
                panel.set_xlabel("filter, sorted by peak")
        bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.6, aspect=40)
        bar.set_label("magnitude over the filter's peak")
    return data


def to_device(encoder: nn.Module, device: str) -> nn.Module:
    """The encoder in evaluation mode on a device, "auto" for a GPU if there is one."""
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return encoder.eval().to(chosen)
