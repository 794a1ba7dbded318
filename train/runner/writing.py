"""What a command leaves behind beside its folders: the tables as Markdown and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sharding.publish import publish


def write_tables(out: Path, name: str, text: str, numbers: Any) -> None:
    """Write ``name.md`` and ``name.json`` into ``out``, whole."""
    with publish(out / f"{name}.md") as path:
        path.write_text(text + "\n", encoding="utf-8")
    with publish(out / f"{name}.json") as path:
        path.write_text(json.dumps(numbers, indent=2, allow_nan=False) + "\n", encoding="utf-8")
