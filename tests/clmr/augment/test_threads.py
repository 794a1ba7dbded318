"""Rows shared among threads: the same result, one thread of torch in each, and nothing left changed behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from clmr.augment import Chain
from clmr.augment.chain import FEWEST_ROWS, PIECE_ROWS, SHORT_ROW, share
from clmr.augment.threads import run_alone
from clmr.draw import make_keys
from tests.clmr.augment.signals import noise


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_pieces_meet_on_two_threads_and_have_one_of_torchs_each() -> None:
    barrier, seen = threading.Barrier(2), []

    def piece() -> None:
        barrier.wait(60)  # passes when both run at once
        seen.append((threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled()))

    run_alone([piece, piece], 2)
    assert len({ident for ident, _, _ in seen}) == 2
    assert {(number, grad) for _, number, grad in seen} == {(1, False)}
    assert torch.get_num_threads() == 2
    assert torch.is_grad_enabled()


@pytest.mark.usefixtures("two_threads")
def test_an_error_comes_out_after_all_have_ended() -> None:
    done: list[int] = []

    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_alone([fail, *(partial(done.append, number) for number in range(5))], 2)
    assert sorted(done) == list(range(5))
    assert torch.get_num_threads() == 2


def views(chain: Chain, audio: Tensor, threads: int) -> Tensor:
    torch.set_num_threads(threads)
    return chain(audio, torch.from_numpy(make_keys(0, 0, range(len(audio)), (0,))[:, 0].copy()))


@pytest.mark.usefixtures("two_threads")
def test_threads_do_not_change_the_views() -> None:
    chain, audio = Chain.preset("paper", 8000), noise(36, SHORT_ROW)
    assert torch.equal(views(chain, audio, 1), views(chain, audio, 2))


@pytest.mark.usefixtures("two_threads")
def test_short_rows_are_one_threads_work(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr("clmr.augment.chain.run_alone", lambda _, number: threads.append(number))
    for frames in (SHORT_ROW - 1, SHORT_ROW):
        views(Chain.preset("paper", 8000), noise(40, frames), 2)
    assert threads == [1, 2]


@pytest.mark.usefixtures("two_threads")
def test_inference_mode_goes_along() -> None:
    chain = Chain.preset("paper", 8000)
    with torch.inference_mode():
        audio = noise(36, SHORT_ROW)
        inferred = views(chain, audio, 2)
        assert inferred.is_inference()
    assert torch.equal(inferred, views(chain, audio.clone(), 2))


@pytest.mark.usefixtures("two_threads")
def test_a_forked_process_has_threads_of_its_own() -> None:
    run_alone([lambda: None] * 2, 2)
    if (process := os.fork()) == 0:
        done: list[int] = []
        run_alone([partial(done.append, 1), partial(done.append, 2)], 2)
        os._exit(sum(done))
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 3


@pytest.mark.parametrize("rows", [0, 1, 15, 16, 31, 32, 95, 96, 97, 144, 192, 1000])
@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_pieces_cover_the_rows_once(rows: int, threads: int) -> None:
    pieces = share(rows, threads)
    assert [row for piece in pieces for row in range(rows)[piece]] == list(range(rows))
    sizes = [piece.stop - piece.start for piece in pieces]
    assert max(sizes) <= max(PIECE_ROWS, 2 * FEWEST_ROWS)
    assert len(pieces) == 1 or min(sizes) >= FEWEST_ROWS
    assert len(pieces) % threads == 0 or rows < len(pieces) * 2 * FEWEST_ROWS
