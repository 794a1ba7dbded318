"""The results: one file for programs, one for people, both whole after every part."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.gpu.check import CUT_OFF, FAILED, NOT_CHECKED, PASSED, Outcome
from benchmarks.gpu.sheets import slug
from benchmarks.report import markdown_table, this_machine
from sharding.publish import publish

STATES = (PASSED, FAILED, CUT_OFF, NOT_CHECKED)
SPEED = "speed"  # parts of this name are measurements: what was left out of them is no failure


def device_name(outcomes: Sequence[Outcome]) -> str:
    """Of the GPU, as its own check found it."""
    names = [outcome.figures.get("device") for outcome in outcomes if "device" in outcome.figures]
    return str(names[0]) if names else "unknown"


def gone_wrong(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """What failed, and checks that never came to an end."""
    return [
        outcome
        for outcome in outcomes
        if outcome.state == FAILED or (outcome.state == CUT_OFF and not outcome.part.startswith(SPEED))
    ]


def write(outcomes: Sequence[Outcome], folder: Path, command: str, seconds: float) -> Path:
    """Write ``gpu-NAME.json`` and ``gpu-NAME.md``.

    Args:
        outcomes: so far.
        folder: where to.
        command: that made them.
        seconds: it has taken.

    Returns:
        Path of the Markdown file.
    """
    name = device_name(outcomes)
    origin = {
        "device": name,
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(seconds, 1),
        "machine": asdict(this_machine()),
        "counts": _counts(outcomes),
    }
    path = folder / f"gpu-{slug(name)}"
    content = json.dumps({**origin, "outcomes": [asdict(outcome) for outcome in outcomes]}, indent=2, default=str)
    for ending, text in ((".json", content + "\n"), (".md", "\n".join(_page(outcomes, origin)))):
        with publish(path.with_suffix(ending)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path.with_suffix(".md")


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    found = Counter(outcome.state for outcome in outcomes)
    return {state: found[state] for state in STATES}


def summary(outcomes: Sequence[Outcome]) -> str:
    """``23 passed, 1 failed, ...``."""
    return ", ".join(f"{number} {state}" for state, number in _counts(outcomes).items())


def _page(outcomes: Sequence[Outcome], origin: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {origin['device']}\n"
    yield f"{summary(outcomes)}.\n"
    yield from _steps(outcomes)
    yield from _others(outcomes)
    yield "## Checks\n"
    rows = [
        [each.name, each.state, each.proves, each.reason or _short(each.figures)]
        for each in outcomes
        if not each.part.startswith(SPEED)
    ]
    yield _table(["check", "", "what it proves", "found"], rows)
    left_out = [each for each in outcomes if each.state in {NOT_CHECKED, CUT_OFF}]
    if left_out:
        yield "## Not checked or not measured\n"
        yield "".join(f"- {each.part}, {each.name}: {each.reason}\n" for each in left_out)
    machine = origin["machine"]
    gpu = next((each.figures for each in outcomes if "device" in each.figures), {})
    driver = gpu.get("nvidia_smi")
    about = [f"driver {driver['driver_version']}"] if isinstance(driver, Mapping) else []
    about += [f"CUDA {gpu['cuda']}", f"cuDNN {gpu['cudnn']}"] if "cuda" in gpu else []
    about += [f"{name} {number}" for name, number in gpu.get("packages", {}).items()]
    yield (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {machine['python']}; {', '.join(about)}. {origin['date']}, {origin['seconds']:.0f} s, "
        f"`{origin['command']}`.\n"
    )


def _steps(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Views per second by batch, precision and way."""
    steps = [each for each in outcomes if each.part == "speed of a step"]
    if not steps:
        return
    rows = []
    for each in steps:
        found = each.figures
        if "views_per_second" not in found:
            rows.append([each.name, each.state, "", "", "", "", each.reason])
            continue
        rate, peak = found["views_per_second"], found.get("peak_bytes")
        bound = found.get("roofline_views_per_second")
        rows.append(
            [
                each.name,
                f"{rate['median']:,.0f}",
                f"{rate['lowest']:,.0f} - {rate['highest']:,.0f}",
                f"{peak / 1e9:.1f}" if peak else "-",
                f"{bound:,.0f}" if bound else "-",
                f"{found['share_of_roofline']:.0%}" if bound else "-",
                "",
            ]
        )
    sources = sorted({each.figures["roofline"] for each in steps if "roofline" in each.figures})
    yield "## A training step\n"
    yield _table(["", "views/s", "lowest - highest", "peak GB", "roofline", "of it", "left out"], rows)
    yield (
        "Forward, NT-Xent, backward and Adam on views that stay in memory. The roofline is the time of the scarcer of "
        "memory traffic and tensor cores, without credit for the cache; for compiled and fused that of a step whose "
        f"every part but the convolutions is one pass. Peaks: {', '.join(sources) or 'none'}.\n"
    )


def _others(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The other measurements."""
    others = [each for each in outcomes if each.part.startswith(SPEED) and each.part != "speed of a step"]
    if others:
        yield "## Augmentations and whole runs\n"
        yield _table(
            ["", "", "found"], [[each.name, each.state, each.reason or _short(each.figures)] for each in others]
        )


def _short(figures: Mapping[str, Any]) -> str:
    """A few figures in a cell; all of them are in the JSON."""
    if "packages" in figures:
        return ""
    return "; ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in figures.items())


def _value(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, float | int | Mapping | list | tuple):
        return str(value)
    if isinstance(value, Mapping):
        if {"median", "lowest", "highest"} <= value.keys():
            return f"{value['median']:,.4g} ({value['lowest']:,.4g} - {value['highest']:,.4g})"
        return ", ".join(f"{name} {_value(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    safe = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return markdown_table(header, safe)
