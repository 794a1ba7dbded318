"""A linear classifier fitted to all rows at once: the probe's `fast` preset, and the probe during training.

The probe of the paper (train/probing/head.py) takes steps of Adam and is stopped by the validation split. This one
minimises a convex function with one minimum, so nothing is drawn and nothing is stopped.

Features of an encoder are strongly correlated, which is what L-BFGS needs its iterations for. At the minimum the
Hessian of a label's weights is nearly v S + penalty I, with S the covariance of the features and v the variance of the
label, so the search runs in coordinates in which that is the identity: one eigendecomposition of S serves all labels
and all penalties, and some ten evaluations do instead of hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.probing.batched_lbfgs import minimise

PENALTY = 1e-2  # of half the squared weights, per row: standardised features and a few thousand rows call for some
ITERATIONS = 100
TOLERANCE = 1e-4  # a label's value is then within (D + 1) / 2 times its square of the minimum, nearly always far closer


def fit_linear(
    features: Tensor,
    labels: Tensor,
    *,
    penalty: float = PENALTY,
    iterations: int = ITERATIONS,
    task: str = "tags",
) -> nn.Linear:
    """The minimum for one penalty; see :func:`fit_path`."""
    return next(fit_path(features, labels, (penalty,), iterations=iterations, task=task))


def fit_path(
    features: Tensor,
    labels: Tensor,
    penalties: Sequence[float],
    *,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
    task: str = "tags",
) -> Iterator[nn.Linear]:
    """Logistic regression for one penalty after the other, each search from the minimum before; draws nothing.

    Minimises the mean over rows of the loss + penalty / 2 ||weights||^2; scikit-learn's ``C`` is 1 / (penalty rows).
    A label that no row has, or every row, cannot be learnt: its weights are 0 and its bias that of its share, as if it
    had half a row more and half a row less; a class that no row has gets probability 0.

    Args:
        features: standardised, ``[W, D]``.
        labels: 0 and 1, of the same floating-point type and device, ``[W, C]``.
        penalties: weights of half the squared L2 norm, each above 0; the bias goes free. Strong to weak is quickest.
        iterations: of L-BFGS, at most, for each penalty.
        tolerance: largest slope at a minimum, in coordinates of about unit curvature; see :data:`TOLERANCE`.
        task: ``tags``: binary cross-entropy summed over the labels, each by itself; ``classes``: softmax cross-entropy.

    Yields:
        For each penalty a head on the device of the features, ``[W, D]`` to logits ``[W, C]``.
    """
    problem = _Problem(features, labels, task)
    for penalty in penalties:
        problem.minimise(penalty, iterations, tolerance)
        yield problem.head()


class _Problem:
    """Weights ``[C, D]`` and bias ``[C]`` of the best head so far, and what the search needs of the rows."""

    def __init__(self, features: Tensor, labels: Tensor, task: str) -> None:
        self._features, self._labels, self._task = features, labels, task
        rows, width = features.shape
        positives = labels.sum(dim=0)
        share = (positives + 0.5) / (rows + 1)  # never 0 or 1
        self._learnt = ((positives > 0) & (positives < rows)).to(features.dtype)
        self._variance = share * (1 - share)
        # Of no row: a share of 1 in 2 (rows + 1) for a tag, which stands by itself; nothing for one of several classes.
        self._bias = torch.logit(share) if task == "tags" else torch.where(positives > 0, share.log(), -torch.inf)
        self._weight = features.new_zeros(labels.shape[1], width)
        centred = features.T @ features / rows - torch.outer(features.mean(0), features.mean(0))
        self._spectrum, self._axes = torch.linalg.eigh(centred)  # S = axes diag(spectrum) axes^T
        self._spectrum.clamp_(min=0)

    def head(self) -> nn.Linear:
        """A copy of the head as it is."""
        outputs, width = self._weight.shape
        head: nn.Linear = nn.utils.skip_init(
            nn.Linear, width, outputs, device=self._weight.device, dtype=self._weight.dtype
        )
        with torch.no_grad():
            head.weight.copy_(self._weight)
            head.bias.copy_(self._bias)
        return head.requires_grad_(requires_grad=False)

    def minimise(self, penalty: float, iterations: int, tolerance: float) -> None:
        """Go on from the head as it is to the minimum for another penalty."""
        # Curvature v s + penalty along every axis; moves are measured in its square root, those of the bias in v's.
        curvature = torch.outer(self._variance, self._spectrum).add_(penalty).sqrt_()
        steepness = self._variance.sqrt()
        weight, bias = self._weight, self._bias

        def place(moved: Tensor) -> tuple[Tensor, Tensor]:
            step = moved.T
            return weight + step[:, :-1] / curvature @ self._axes.T, bias + step[:, -1] / steepness

        def evaluate(moved: Tensor) -> tuple[Tensor, Tensor]:
            value, by_weight, by_bias = self._value_and_slope(*place(moved), penalty)
            along_axes = by_weight @ self._axes / curvature
            slope = torch.cat((along_axes, (by_bias / steepness)[:, None]), dim=1)
            return value, (slope * self._learnt[:, None]).T

        moved = minimise(
            evaluate,
            curvature.new_zeros(curvature.shape[1] + 1, len(curvature)),
            iterations=iterations,
            tolerance=tolerance,
            together=self._task == "classes",
        )
        self._weight, self._bias = place(moved)

    def _value_and_slope(self, weight: Tensor, bias: Tensor, penalty: float) -> tuple[Tensor, Tensor, Tensor]:
        """The objective of each label, summed in float64, and its gradient by weights ``[C, D]`` and bias ``[C]``."""
        rows = len(self._features)
        logits = F.linear(self._features, weight, bias)
        norms = weight.square().sum(dim=1, dtype=torch.float64)
        if self._task == "classes":
            logarithm = F.log_softmax(logits, dim=1)
            own = logarithm.gather(1, self._labels.argmax(dim=1, keepdim=True))
            entropy, norms = -own.sum(dim=0, dtype=torch.float64), norms.sum(dim=0, keepdim=True)
            error = logarithm.exp_().sub_(self._labels)
        else:
            # Cross-entropy of a label y under a logit z: log(1 + e^z) - y z.
            entropy = torch.addcmul(F.softplus(logits), self._labels, logits, value=-1).sum(dim=0, dtype=torch.float64)
            error = logits.sigmoid_().sub_(self._labels)
        slope = torch.addmm(penalty * weight, error.T, self._features, alpha=1 / rows)
        return entropy / rows + penalty / 2 * norms, slope, error.mean(dim=0)
