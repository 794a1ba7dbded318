"""What held the run up, in words, from its saturation.json."""

from __future__ import annotations

from clmr.errors import ConfigError
from loaders.saturation.report import Saturation
from sharding.page.markup import Markup, element, name
from train.page.parts import facts, missing, section
from train.page.run import Run

TITLE = "Saturation"
MEANING = {
    "device-bound": "The device did all it could: the loader had more to give.",
    "balanced": "Hardly any waiting for data.",
    "loader-bound": "The device waited for data.",
    "elsewhere": "Neither steps nor waiting for data took the time.",
}


def saturation_section(run: Run) -> Markup:
    """The verdict, and the rates it rests on."""
    path = run.folder / "saturation.json"
    if not path.exists():
        if run.kind == "supervised":
            return section(
                TITLE, missing("A supervised run takes no measure of this; its pace stands among the curves")
            )
        return section(TITLE, missing("No verdict: train/pretrain.py writes saturation.json when a run ends"))
    try:
        report = Saturation.from_json(path.read_bytes())
        verdict = report.verdict
    except (ConfigError, ArithmeticError) as error:
        return section(TITLE, missing(f"saturation.json cannot be read ({error})"))
    slowest = report.slowest
    rates = [
        ("steps alone", report.consumer_alone),
        ("loader alone", report.loader_alone),
        ("both together", report.together),
    ]
    rows = [(label, "not measured" if rate is None else f"{rate:,.0f} pairs/s") for label, rate in rates]
    waiting = ("waiting", f"{slowest.wait_share:.1%} of {slowest.seconds:,.0f} s")
    return section(
        TITLE,
        element(
            "p",
            element("b", MEANING.get(verdict.bound, "")),
            " ",
            name(verdict.line[:1].upper() + verdict.line[1:]),
            class_="verdict",
        ),
        facts([*rows, waiting, ("reading", name(report.traffic.describe()))]),
    )
