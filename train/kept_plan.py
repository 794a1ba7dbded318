"""The plan that a folder of runs was made by, kept beside them: other plans are refused there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clmr.errors import ConfigError
from sharding.publish import publish


def keep_plan(folder: Path, plan: dict[str, Any], refusal: str) -> None:
    """Write ``plan.json`` into ``folder``, or find the same one there.

    Raises:
        ConfigError: with the text of ``refusal``, where the folder holds the runs of another plan.
    """
    note, text = folder / "plan.json", json.dumps(plan, indent=2) + "\n"
    if note.exists() and note.read_text(encoding="utf-8") != text:
        raise ConfigError(refusal)
    with publish(note) as path:
        path.write_text(text, encoding="utf-8")
