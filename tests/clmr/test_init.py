"""``import clmr`` is light, and its public names are there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import clmr


def test_import_does_not_load_torch() -> None:
    code = "import sys, clmr, clmr.errors; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names() -> None:
    for name in clmr.__all__:
        assert getattr(clmr, name) is not None
        assert name in dir(clmr)
    assert clmr.augment.Chain.__module__ == "clmr.augment.chain"


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        clmr.nonsense  # noqa: B018  # the attribute access is the test
