"""A folder of everything that goes wrong: the build ends, the good is in, the bad is named, the totals add up."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from sharding.datasets.catalog import readable_name
from sharding.format import open_shards

Music = Callable[..., npt.NDArray[np.float64]]
Write = Callable[..., Path]
Sharder = Callable[..., subprocess.CompletedProcess[str]]

GOOD = {
    "plain.wav": (44100, 1),
    "stereo.mp3": (44100, 2),
    "eight channels.wav": (22050, 8),
    "high.rate.flac": (96000, 2),
    "日本/Björk – Jóga (live).v1.2.ogg": (44100, 2),
    "a.b/c..d.opus": (48000, 1),
    "UPPER.AIFF": (32000, 1),
    os.fsdecode(b"caf\xe9 in Latin-1.flac"): (44100, 1),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, music: Music, write: Write) -> tuple[Path, dict[str, str]]:
    """The folder, and the reason for which each bad file in it must be left out."""
    root = tmp_path_factory.mktemp("bad folder")
    for name, (rate, channels) in GOOD.items():
        path = write(root / "new" / name.encode("ascii", "ignore").decode(), music(3.0, rate, channels), rate)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        path.rename(root / name)  # soundfile writes no names that are not UTF-8
    shutil.rmtree(root / "new")
    bad: dict[str, str] = {}

    def put(name: str, data: bytes, reason: str) -> None:
        (root / name).write_bytes(data)
        bad[name] = reason

    put("empty.mp3", b"", "empty")
    whole = {
        extension: root / f"whole.{extension}" for extension in ("wav", "mp3", "flac", "ogg", "aiff", "au", "opus")
    }
    for extension, path in whole.items():
        rate = 48000 if extension == "opus" else 44100
        data = write(path, music(4.0, rate), rate).read_bytes()
        path.unlink()
        put(f"cut.{extension}", data[: len(data) * 8 // 10], "truncated")
    put("page.mp3", b"<!doctype html>" + b"<p>404</p>" * 3000, "undecodable")
    put("cover.mp3", b"\xff\xd8\xff\xe0" + np.random.default_rng(0).bytes(50_000), "undecodable")
    put("video.m4a", b"\0\0\0\x20ftypM4A " + bytes(50_000), "truncated")
    put("monkey.ape", b"MAC \x96\x0f\0\0" + bytes(50_000), "unsupported")
    for name, samples, reason in (
        ("short.wav", music(2.6, 22050, 1), "too_short"),
        ("no frames.wav", np.zeros((0, 1)), "too_short"),
        ("silent.wav", np.zeros((4 * 22050, 2)), "silent"),
    ):
        write(root / name, samples, 22050)
        bad[name] = reason
    broken = music(4.0, 22050, 2)
    broken[50_000, 1] = np.nan
    file = io.BytesIO()
    soundfile.write(file, broken, 22050, "FLOAT", format="WAV")
    put("nan.wav", file.getvalue(), "not_finite")
    put(
        "rate.wav",
        (root / "plain.wav").read_bytes().replace(struct.pack("<I", 44100), struct.pack("<I", 1)),
        "undecodable",
    )
    (root / "loop.wav").symlink_to("loop.wav")
    bad["loop.wav"] = "unreadable"
    (root / "dangling.flac").symlink_to("gone.flac")
    bad["dangling.flac"] = "missing"
    (root / "日本/up").symlink_to("..")
    (root / "round").symlink_to("round")
    os.mkfifo(root / "pipe.ogg")
    bad["pipe.ogg"] = "unreadable"
    if os.geteuid() != 0:  # root reads it all the same; test_decode does this test as somebody else
        shutil.copy(root / "plain.wav", root / "secret.wav")
        (root / "secret.wav").chmod(0)
        bad["secret.wav"] = "unreadable"
    (root / "notes.txt").write_text("not audio")
    (root / "日本/cover.jpg").write_bytes(b"not audio")
    return root, bad


def test_every_file_is_in_or_named(
    folder: tuple[Path, dict[str, str]], tmp_path: Path, sharder: Sharder, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, bad = folder
    monkeypatch.setenv("PATH", "")  # no ffmpeg, whether it is installed or not
    done = sharder("build", "folder", "--source", source, "--out", tmp_path / "shards", "--jobs", 2)
    reasons = Counter(bad.values())
    assert done.returncode == 0, done.stderr
    counted = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    found = len(list((tmp_path / "shards").rglob("*.tar")))
    assert done.stdout == (
        f"written {len(GOOD)} of {len(GOOD) + len(bad)} tracks, 0.0 h, {found} shards; "
        f"skipped {len(bad)}: {counted}; ignored 3 other files\n"
    )
    assert f"warning: skipped {len(bad)}: {counted}" in done.stderr
    hints = "; missing: recordings that the annotation names, or links, without a file; unreadable: no permission, or"
    assert hints in done.stderr
    assert f"`python -m sharding ls --json {tmp_path / 'shards'}` lists every one\n" in done.stderr
    # Nothing but the progress and the warning: the remarks of the C libraries are not to be heard.
    lines = filter(None, map(str.strip, done.stderr.replace("\r", "\n").split("\n")))
    assert {line.split()[0] for line in lines} == {"folder", "warning:"}

    shards = open_shards(tmp_path / "shards")
    rows = {row["source"]: row for row in shards.index.to_pylist()}
    assert {source: row["reason"] for source, row in rows.items() if row["status"] == "skipped"} == bad
    good = set(map(readable_name, GOOD))
    assert {source for source, row in rows.items() if row["status"] == "written"} == good
    for name in good:
        assert rows[name]["frames"] == 3 * 22050
    for name in bad:
        assert rows[name]["shard"] is rows[name]["frames"] is rows[name]["pcm_offset"] is None
    manifest = shards.manifest
    assert manifest.attempted == manifest.written + sum(manifest.skipped.values()) == len(rows)
    assert dict(manifest.skipped) == dict(sorted(reasons.items()))
    assert sum(shard.tracks for shard in manifest.shards) == manifest.written

    listed = json.loads(sharder("ls", tmp_path / "shards", "--json").stdout)
    assert {source: reason for reason, sources in listed["skipped"].items() for source in sources} == bad
    assert sharder("verify", tmp_path / "shards").returncode == 0


def test_exit_codes(folder: tuple[Path, dict[str, str]], tmp_path: Path, sharder: Sharder) -> None:
    source, _ = folder
    (tmp_path / "one").mkdir()
    (tmp_path / "none").mkdir()
    for name in ("plain.wav", "short.wav"):
        shutil.copy(source / name, tmp_path / "one")
    shutil.copy(source / "short.wav", tmp_path / "none")
    strict = sharder("build", "folder", "--source", tmp_path / "one", "--out", tmp_path / "a", "--strict")
    assert (strict.returncode, strict.stdout) == (3, "written 1 of 2 tracks, 0.0 h, 1 shard; skipped 1: too_short 1\n")
    none = sharder("build", "folder", "--source", tmp_path / "none", "--out", tmp_path / "b")
    assert (none.returncode, none.stdout) == (1, "written 0 of 1 tracks, 0.0 h, 0 shards; skipped 1: too_short 1\n")
    assert not list((tmp_path / "b").rglob("*.tar"))  # DALI refuses empty shards
    assert open_shards(tmp_path / "b").index.num_rows == 1
    assert sharder("verify", tmp_path / "b").returncode == 0
    empty = sharder("build", "folder", "--source", tmp_path / "b", "--out", tmp_path / "c")
    assert (empty.returncode, empty.stdout) == (1, "")
    assert empty.stderr.startswith("error: ")
    assert "holds no audio" in empty.stderr
    assert empty.stderr.count("\n") == 1
