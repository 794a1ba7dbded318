"""The command: a folder or a page out of any sound, and one line with the file's name when that cannot be."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile
import torch
from click.testing import CliRunner, Result

from clmr.augment import Chain, delay, first_order_filter
from clmr.augment.__main__ import main
from clmr.augment.listen.heard import VIEWS
from clmr.draw import make_keys

RATE = 22050
THREE = ("low", "mid", "high")
EFFECTS = (
    *("noise", "gain", "low-pass-first-order", "high-pass-first-order", "low-pass-sinc", "high-pass-sinc"),
    *("delay", "pitch", "reverb"),
)
PNG = b"\x89PNG"


def listen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def read(path: Path) -> torch.Tensor:
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    return torch.from_numpy(samples)


@pytest.fixture(scope="module")
def folder(second: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes of it."""
    out = tmp_path_factory.mktemp("out") / "listen"
    answer = listen(second, "--out", out, "--preset", "official", "--seed", "5")
    assert answer.exit_code == 0, answer.output
    assert answer.output == f"{len(list(out.iterdir()))} files in {out}\n"
    return out


def test_a_sound_for_every_setting_and_a_picture_for_every_effect(folder: Path) -> None:
    sounds = {f"{effect}-{level}.wav" for effect in EFFECTS for level in THREE}
    sounds |= {"before.wav", "polarity-on.wav"} | {f"chain-official-{view}.wav" for view in range(1, VIEWS + 1)}
    pictures = {f"{effect}.png" for effect in (*EFFECTS, "polarity", "chain-official")}
    assert {path.name for path in folder.iterdir()} == sounds | pictures | {"files.txt"}
    listed = (folder / "files.txt").read_text().splitlines()
    assert {line.split(" ")[0] for line in listed} == sounds | pictures
    assert all((folder / name).read_bytes().startswith(PNG) for name in pictures)
    assert {len(read(folder / name)) for name in sounds} == {RATE}


def test_the_sounds_are_what_the_functions_make(folder: Path) -> None:
    before = read(folder / "before.wav").view(1, 1, -1)
    echo = delay(before, torch.tensor([350 * RATE // 1000]))
    assert torch.equal(read(folder / "delay-mid.wav"), echo[0, 0])
    low = first_order_filter(before, torch.tensor([2200.0]), torch.tensor([False]), RATE)
    assert torch.allclose(read(folder / "low-pass-first-order-low.wav"), low[0, 0], atol=1e-6)
    assert torch.equal(read(folder / "polarity-on.wav"), -before[0, 0])
    keys = torch.from_numpy(make_keys(5, 0, [0], range(VIEWS))[0])
    views = Chain.preset("official", RATE)(before.repeat(VIEWS, 1, 1), keys)
    for view in range(VIEWS):
        assert torch.allclose(read(folder / f"chain-official-{view + 1}.wav"), views[view, 0], atol=1e-6)


def test_a_long_file_is_cut_with_a_word_on_it(second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clmr.augment.__main__.LONGEST_PAGE_SECONDS", 0.5)
    answer = listen("--page", tmp_path / "page.html", second, "--start", "0.25", "--preset", "paper")
    assert answer.exit_code == 0
    assert answer.stderr == f"{second} is longer: taken are 0.5 s from 0.25 s on; --start moves them\n"
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "0.5 s from 0.25 s on" in text
    assert 'data-seconds="0.500000"' in text


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """No file may grow beyond ``most`` bytes: a write fails as on a full disk, but for the words."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_leaves_nothing(second: Path, tmp_path: Path) -> None:
    with small_files(50_000):
        for arguments in (
            ("--out", tmp_path / "deep/out"),
            ("--page", tmp_path / "page"),
            ("--page", tmp_path / "a.html"),
        ):
            answer = listen(second, *arguments)
            assert answer.exit_code == 1
            place = tmp_path if arguments[1].suffix else arguments[1]
            assert answer.output == f"error: File too large: {place}\n"
    assert list(tmp_path.iterdir()) == []


def test_one_line_with_the_name(second: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no sound\n" * 100)
    cases: list[tuple[list[str | Path], str]] = [
        ([tmp_path / "missing.wav"], f"error: No such file or directory: {tmp_path}/missing.wav"),
        ([tmp_path], f"error: Is a directory: {tmp_path}"),
        ([tmp_path / "text"], f"error: {tmp_path}/text cannot be read as sound (Format not recognised)"),
        ([second, "--out", second / "out"], f"error: Not a directory: {second}/out"),
        ([second, "--page", second / "page.html"], f"error: Not a directory: {second}"),
        ([second, "--out", "a", "--page", "b"], "error: --out and --page exclude each other"),
        (["--start", "3"], "error: --start 3 needs a FILE"),
        ([second, "--start", "3"], f"error: --start 3 lies beyond the end of {second}, which lasts 1 s"),
    ]
    for arguments, words in cases:
        answer = listen(*arguments)
        assert answer.exit_code == 1
        assert answer.output.startswith(words)
        assert answer.output.count("\n") == 1
    assert listen(second, "--preset", "crop").exit_code == 2
