"""Which data sheet is a GPU's, by its name."""

from __future__ import annotations

import re

from clmr.augment.kernels.bound import Device


def sheet_of(name: str) -> Device | None:
    """The data sheet of the GPU with this name; None where there is none here."""
    from benchmarks.bounds import DEVICES

    # H100 PCIe and H100 NVL have other memories and clocks than the SXM module, the A100 of 40 GB than that of 80.
    if re.search(r"pcie|nvl|40gb|laptop|4090 d\b", name.lower()):
        return None
    words = set(re.findall(r"[a-z]*\d+", name.lower()))
    fitting = [each for each in DEVICES if set(re.findall(r"[a-z]*\d+", each.name.lower())[:1]) <= words]
    return fitting[0] if fitting else None


def slug(name: str) -> str:
    """For file names, such as ``nvidia-h100-80gb-hbm3``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown"
