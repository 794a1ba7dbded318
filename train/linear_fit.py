"""A linear classifier fitted to all rows at once: the probe's `fast` preset, and the probe during training.

The probe of the paper (train/head.py) takes steps of Adam and is stopped by the validation split. This one minimises a
convex function with one minimum, so nothing is drawn and nothing is stopped.

Features of an encoder are strongly correlated, which is what L-BFGS needs its iterations for. At the minimum the
Hessian of a label's weights is nearly v S + penalty I, with S the covariance of the features and v the variance of the
label, so the search runs in coordinates in which that is the identity: one eigendecomposition of S serves all labels
and all penalties, and ten to twenty evaluations do instead of hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PENALTY = 1e-2  # of half the squared weights, per row: standardised features and a few thousand rows call for some
ITERATIONS = 100
GRADIENT = 1e-4  # largest slope at the minimum, in coordinates of unit curvature: the value is within its square


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
    task: str = "tags",
) -> Iterator[nn.Linear]:
    """Logistic regression for one penalty after the other, each search from the minimum before; draws nothing.

    Minimises the mean over rows of the loss + penalty / 2 ||weights||^2; scikit-learn's ``C`` is 1 / (penalty rows).
    A label that no row has, or every row, cannot be learnt: its weights are 0 and its bias its smoothed share.

    Args:
        features: standardised, ``[W, D]``.
        labels: 0 and 1, of the same floating-point type and device, ``[W, C]``.
        penalties: weights of half the squared L2 norm, each above 0; the bias goes free. Strong to weak is quickest.
        iterations: of L-BFGS, at most, for each penalty.
        task: ``tags``: binary cross-entropy summed over the labels, each by itself; ``classes``: softmax cross-entropy.

    Yields:
        For each penalty a head on the device of the features, ``[W, D]`` to logits ``[W, C]``.
    """
    problem = _Problem(features, labels, task)
    for penalty in penalties:
        problem.minimise(penalty, iterations)
        yield problem.head()


class _Problem:
    """Weights ``[D, C]`` and bias ``[C]`` of the best head so far, and what the search needs of the rows."""

    def __init__(self, features: Tensor, labels: Tensor, task: str) -> None:
        self._features, self._labels, self._task = features, labels, task
        rows, width = features.shape
        positives = labels.sum(dim=0)
        share = (positives + 0.5) / (rows + 1)  # never 0 or 1
        self._learnt = ((positives > 0) & (positives < rows)).to(features.dtype)
        self._variance = share * (1 - share)
        self._bias = torch.log(share) if task == "classes" else torch.logit(share)
        self._weight = features.new_zeros(width, labels.shape[1])
        centred = features.T @ features / rows - torch.outer(features.mean(0), features.mean(0))
        self._spectrum, self._axes = torch.linalg.eigh(centred)  # S = axes diag(spectrum) axes^T
        self._spectrum.clamp_(min=0)

    def head(self) -> nn.Linear:
        """A copy of the head as it is."""
        width, outputs = self._weight.shape
        head: nn.Linear = nn.utils.skip_init(
            nn.Linear, width, outputs, device=self._weight.device, dtype=self._weight.dtype
        )
        with torch.no_grad():
            head.weight.copy_(self._weight.T)
            head.bias.copy_(self._bias)
        return head.requires_grad_(requires_grad=False)

    def minimise(self, penalty: float, iterations: int) -> None:
        """Go on from the head as it is to the minimum for another penalty."""
        # Curvature v s + penalty along every axis; moves are measured in its square root, those of the bias in v's.
        curvature = (self._spectrum[:, None] * self._variance + penalty).sqrt()
        steepness = self._variance.sqrt()
        start_weight, start_bias = self._weight, self._bias
        moved = torch.zeros(
            len(curvature) + 1, curvature.shape[1], dtype=curvature.dtype, device=curvature.device, requires_grad=True
        )
        optimizer = torch.optim.LBFGS(
            [moved],
            max_iter=iterations,
            tolerance_grad=GRADIENT,
            tolerance_change=0.0,
            history_size=20,
            line_search_fn="strong_wolfe",
        )

        def place() -> None:
            step = moved.detach() * self._learnt
            self._weight = start_weight + self._axes @ (step[:-1] / curvature)
            self._bias = start_bias + step[-1] / steepness

        def objective() -> Tensor:
            place()
            value, slope = self._value_and_slope(penalty)
            along_axes = self._axes.T @ slope[:-1] / curvature
            moved.grad = torch.cat((along_axes, slope[-1:] / steepness)) * self._learnt
            return value

        with torch.no_grad():
            optimizer.step(objective)
            place()  # the last evaluation of a line search need not be the one it takes

    def _value_and_slope(self, penalty: float) -> tuple[Tensor, Tensor]:
        """The objective, summed in float64, and its gradient by weights and, in the last row, bias."""
        rows = len(self._features)
        logits = torch.addmm(self._bias, self._features, self._weight)
        if self._task == "classes":
            logarithm = F.log_softmax(logits, dim=1)
            entropy = -(self._labels * logarithm).sum(dtype=torch.float64)
            error = logarithm.exp_().sub_(self._labels)
        else:
            # Cross-entropy of a label y under a logit z: log(1 + e^z) - y z.
            entropy = F.softplus(logits).sum(dtype=torch.float64) - (self._labels * logits).sum(dtype=torch.float64)
            error = logits.sigmoid_().sub_(self._labels)
        value = entropy / rows + penalty / 2 * self._weight.square().sum(dtype=torch.float64)
        slope = torch.addmm(penalty * self._weight, self._features.T, error, alpha=1 / rows)
        return value, torch.cat((slope, error.mean(dim=0, keepdim=True)))
