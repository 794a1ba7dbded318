"""A full disk, a folder that may not be written: one line, nothing half done, and the next run goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sharding.build import build
from sharding.plan import BuildSettings
from tests.sharding.test_build import contents

# In a mount namespace of its own: a disk of 1.2 MB, a build that fills it, the same build once there is room.
SCRIPT = """
set -u
mount -t tmpfs -o size=1200k none "$DISK"
build() { "$PYTHON" -m sharding build folder --source "$SOURCE" --out "$DISK/shards" --jobs 2 --shard-size 600KiB; }
build 2>"$RESULT/full.err"; echo $? >"$RESULT/full.status"
cp -a "$DISK/shards" "$RESULT/full"
mount -o remount,size=64m "$DISK"
build >"$RESULT/room.out"; echo $? >"$RESULT/room.status"
cp -a "$DISK/shards" "$RESULT/room"
"""


@pytest.mark.needs("right:tmpfs")
def test_a_full_disk(corpus: Path, shards: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "result").mkdir()
    places = {"DISK": tmp_path / "disk", "SOURCE": corpus, "RESULT": tmp_path / "result", "PYTHON": sys.executable}
    subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **{name: str(path) for name, path in places.items()}},
        check=True,
        timeout=120,
    )
    result = tmp_path / "result"
    assert (result / "full.status").read_text() == "1\n"
    errors = (result / "full.err").read_text()
    assert errors.splitlines()[-1].startswith(f"error: No space left on device: {tmp_path}/disk/shards/")
    assert "Traceback" not in errors
    left, whole = contents(result / "full"), contents(shards)
    assert left.items() <= whole.items()  # no part, nothing half written
    assert "manifest.json" not in left
    assert any(name.endswith(".parquet") for name in left)
    assert (result / "room.status").read_text() == "0\n"
    assert "kept " in (result / "room.out").read_text()
    assert contents(result / "room") == whole


def test_a_folder_that_may_not_be_written(
    not_root: Path, music: Callable[..., npt.NDArray[np.float64]], write: Callable[..., Path]
) -> None:
    source = write(not_root / "source/a.wav", music(), 44100).parent
    (not_root / "shards").mkdir()
    (not_root / "shards").chmod(0o555)
    with pytest.raises(PermissionError) as caught:
        build(source, not_root / "shards", BuildSettings("folder"), jobs=1)
    (not_root / "shards").chmod(0o755)
    assert caught.value.filename.startswith(str(not_root / "shards"))
    assert not list((not_root / "shards").iterdir())
