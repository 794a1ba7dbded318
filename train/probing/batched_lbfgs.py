"""L-BFGS on many convex functions at once: one evaluation serves all, each has its own history and step length."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

HISTORY = 10  # moves remembered
HALVINGS = 30
SUFFICIENT = 1e-4  # Armijo's share of the decrease that the slope promises
ROUNDING = 8  # units in the last place of the gradients; an increase of a value by less is none


class _Move(NamedTuple):
    step: Tensor
    change: Tensor  # of the gradient
    inverse: Tensor  # 1 / (step . change), 0 where the move says nothing


def minimise(
    evaluate: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Tensor,
    *,
    iterations: int,
    tolerance: float,
    together: bool = False,
) -> Tensor:
    """Minimise C smooth convex functions, the variables of each in a column.

    The variables should be scaled so that curvatures are about 1: then the first trial, a step of length 1 against the
    gradient, is nearly always taken, and an iteration costs one evaluation.

    Args:
        evaluate: ``[P, C]`` to the values float64 ``[C]`` and the gradients ``[P, C]``; with ``together`` the values
            are one number in an array of shape ``[1]``.
        start: where to begin, ``[P, C]``.
        iterations: at most.
        tolerance: a function is done when no entry of its gradient is larger.
        together: the columns are variables of one function.

    Returns:
        The best places found, ``[P, C]``.
    """
    axes = (0, 1) if together else (0,)

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=axes)

    here, rounding = start, ROUNDING * torch.finfo(start.dtype).eps
    value, slope = evaluate(here)
    moves: list[_Move] = []
    for _ in range(iterations):
        unfinished = slope.abs().amax(dim=axes) > tolerance
        if not unfinished.any():
            break
        direction = -_times_inverse_hessian(slope, moves, dot) * unfinished
        promised = dot(slope, direction)
        length = torch.ones_like(promised)
        for _ in range(HALVINGS):
            step = length * direction
            new_value, new_slope = evaluate(here + step)
            bound = value + SUFFICIENT * length * promised + rounding * value.abs()
            too_far = new_value.view_as(promised) > bound.view_as(promised)
            if not too_far.any():
                break
            length = torch.where(too_far, length / 2, length)
        change = new_slope - slope
        curvature = dot(step, change)
        useful = curvature > torch.finfo(slope.dtype).eps * dot(change, change)
        moves = [*moves, _Move(step, change, torch.where(useful, 1 / curvature, 0))][-HISTORY:]
        here, value, slope = here + step, new_value, new_slope
    return here


def _times_inverse_hessian(slope: Tensor, moves: list[_Move], dot: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The two-loop recursion (Nocedal and Wright, Numerical Optimization, algorithm 7.4), column by column."""
    direction = slope
    weights = []
    for move in reversed(moves):
        weight = move.inverse * dot(move.step, direction)
        direction = direction - weight * move.change
        weights.append(weight)
    if moves:
        last = moves[-1]
        # Scaled by (step . change) / (change . change) of the last move, by 1 where that move says nothing.
        scale = 1 / (last.inverse * dot(last.change, last.change))
        direction = direction * torch.where(last.inverse > 0, scale, 1)
    for move, weight in zip(moves, reversed(weights), strict=True):
        direction = direction + move.step * (weight - move.inverse * dot(move.change, direction))
    return direction
