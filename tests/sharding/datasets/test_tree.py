"""Walking a tree in any state, and keys that every tool accepts."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sharding.datasets.catalog import readable_name
from sharding.datasets.tree import make_key, walk
from sharding.format import KEY_PATTERN
from sharding.storage import LocalPlace


def fill(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_audio_by_extension_in_sorted_order(tmp_path: Path) -> None:
    fill(tmp_path, "b/x.MP3", "b/a.b.c.flac", "日本/ä.Opus", "notes.txt", "b/cover.jpg", "mp3", ".mp3", "z.m4a")
    tree = walk(LocalPlace(tmp_path))
    assert tree.audio == ("b/a.b.c.flac", "b/x.MP3", "z.m4a", "日本/ä.Opus")
    assert tree.others == (".mp3", "b/cover.jpg", "mp3", "notes.txt")
    assert tree.closed == ()


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    fill(tmp_path / "music", "real/a.wav", "real/deep/b.wav")
    fill(tmp_path / "elsewhere", "c.wav")
    music = tmp_path / "music"
    (music / "alias").symlink_to("real")  # sorts before what it leads to, which keeps its own name
    (music / "real/deep/up").symlink_to("../..")
    (music / "out").symlink_to(tmp_path / "elsewhere")
    (music / "out again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(music)
    (music / "loop.wav").symlink_to("loop.wav")
    (music / "one.wav").symlink_to("two.wav")
    (music / "two.wav").symlink_to("one.wav")
    (music / "gone.wav").symlink_to("nowhere.wav")
    tree = walk(LocalPlace(music))
    assert tree.audio == ("gone.wav", "loop.wav", "one.wav", "out/c.wav", "real/a.wav", "real/deep/b.wav", "two.wav")


def test_a_folder_that_cannot_be_listed_is_told(not_root: Path) -> None:
    fill(not_root, "open/a.wav", "shut/b.wav")
    (not_root / "shut").chmod(0)
    tree = walk(LocalPlace(not_root))
    (not_root / "shut").chmod(0o755)
    assert tree.audio == ("open/a.wav",)
    assert tree.closed == ("shut",)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300))
def test_any_name_gives_a_key(name: str) -> None:
    key = make_key(name)
    assert KEY_PATTERN.fullmatch(key)
    assert len(key) <= 51
    assert make_key(name) == key
    assert make_key(f"x/{name}") != key


def test_keys_are_readable() -> None:
    assert make_key("disc 1/01. Für Elise.mp3").startswith("01_fur_elise-")
    assert make_key("a/b.v1.2.flac").startswith("b_v1_2-")
    assert KEY_PATTERN.fullmatch(make_key("日本.wav"))


def test_names_that_are_not_utf8_are_written_out() -> None:
    name = os.fsdecode(b"caf\xe9/x.wav")
    assert readable_name(name) == "caf\\xe9/x.wav"
    assert KEY_PATTERN.fullmatch(make_key(name))
    assert readable_name("café/日本.wav") == "café/日本.wav"
