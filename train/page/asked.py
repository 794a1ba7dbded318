"""What the run was asked for: first what differs from the defaults, which are the paper's, then all of it."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

from sharding.page.markup import Markup, element, name
from train.cpc_settings import CpcSettings
from train.labelled.settings import SupervisedSettings
from train.page.parts import fold, section
from train.page.run import Run
from train.settings import PretrainSettings

SETTINGS: dict[str, Any] = {"pretrain": PretrainSettings, "cpc": CpcSettings, "supervised": SupervisedSettings}
WHOSE = {"pretrain": "the paper's", "cpc": "those of train/cpc.py", "supervised": "those of train/supervised.py"}
LONG = 200  # characters of a value in the table; the whole stands in config.json


def defaults(kind: str) -> dict[str, Any]:
    """Name -> default of every setting of that kind of run that has one."""
    if kind not in SETTINGS:
        return {}
    each = {field.name: field.default for field in fields(SETTINGS[kind]) if field.default is not MISSING}
    plain: dict[str, Any] = json.loads(json.dumps(each))  # tuples are lists in config.json
    return plain


def words(value: Any) -> str:
    """A setting's value as it is read: nothing given, yes, no, a number, or a list."""
    if value is None or value == []:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= LONG else f"{text[:LONG]} \N{HORIZONTAL ELLIPSIS}"


def asked_section(run: Run) -> Markup:
    """The settings in two tables, of which the second is folded, and config.json as it is."""
    settings, usual = run.settings, defaults(run.kind)
    differ = {key: value for key, value in settings.items() if key not in usual or value != usual[key]}
    same = {key: value for key, value in settings.items() if key not in differ}
    lines = json.dumps(run.config, indent=2).split("\n")
    return section(
        "Settings",
        _table(differ, usual),
        fold(f"{len(same)} settings left at their defaults", _table(same, None)) if same else None,
        fold("config.json, whole", element("div", *(element("div", name(line)) for line in lines), class_="listing")),
        note=f"What was given, and in small letters the default where it is another; defaults are "
        f"{WHOSE.get(run.kind, 'not known')}.",
    )


def _table(values: dict[str, Any], usual: dict[str, Any] | None) -> Markup:
    rows = (
        element(
            "tr",
            element("th", key.replace("_", " "), scope="row"),
            element(
                "td",
                name(words(value)),
                element("small", "default ", name(words(usual[key]))) if usual is not None and key in usual else None,
            ),
        )
        for key, value in values.items()
    )
    return element("table", element("tbody", *rows), class_="settings")
