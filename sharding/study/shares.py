"""How often every tag holds, by split: counted from the scores, without playing one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sharding.format import SPLITS
from sharding.study.take import TAGS, Take


def count_tags(takes: Sequence[Take]) -> dict[str, dict[str, int]]:
    """Tracks with each tag: ``counts[split][tag]``, and ``counts[split]["tracks"]`` for all of them."""
    counts: dict[str, dict[str, int]] = {}
    for split in SPLITS:
        chosen = [take for take in takes if take.composition.split == split]
        found = Counter(tag for take in chosen for tag in take.tags)
        counts[split] = {"tracks": len(chosen), **{tag: found[tag] for tag in TAGS}}
    return counts


def share_table(takes: Sequence[Take]) -> str:
    """The counts as a table, with the share of all tracks beside them."""
    counts = count_tags(takes)
    lines = [f"{'tag':<18}" + "".join(f"{split:>8}" for split in SPLITS) + f"{'share':>8}"]
    for tag in ("tracks", *TAGS):
        row = [counts[split][tag] for split in SPLITS]
        share = 100 * sum(row) / max(1, len(takes))
        lines.append(f"{tag:<18}" + "".join(f"{count:>8,}" for count in row) + f"{share:>6.1f} %")
    return "\n".join(lines)
