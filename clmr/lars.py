"""LARS: steps as long as the weights allow, layer by layer, for large batches (You, Gitman and Ginsburg, 2017).

A large batch takes few steps, which have to be long; one learning rate for all layers is then too long for some. LARS
scales the step of every weight tensor by the ratio of its norm to that of its gradient. Biases and the parameters of
batch normalisation are excluded, as in SimCLR: they have no such scale, and are not decayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from clmr.errors import ConfigError


def lars_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Parameter groups of :class:`LARS` for a model: weight tensors first, then what is excluded.

    Excluded are all biases, and every parameter of a module that keeps running statistics, however it is shaped.
    """
    adapted: list[Tensor] = []
    excluded: list[Tensor] = []
    for module in model.modules():
        normalises = hasattr(module, "running_mean")
        for name, parameter in module.named_parameters(recurse=False):
            (excluded if normalises or name == "bias" else adapted).append(parameter)
    return [{"params": adapted}, {"params": excluded, "exclude": True}]


class LARS(torch.optim.Optimizer):
    """Stochastic gradient descent with momentum and a trust ratio for every tensor.

    For a tensor w with gradient g, learning rate lr, weight decay b and trust coefficient eta (algorithm 1):

        ratio = eta |w| / (|g| + b |w|)          1 where either norm is 0
        v = momentum v + lr ratio (g + b w)
        w = w - v

    For tensors of a group with ``exclude=True`` the ratio is 1 and b is 0. Nothing waits for the device.

    Args:
        params: parameters, or groups such as those of :func:`lars_groups`.
        lr: learning rate, >= 0. A step moves a tensor by about lr eta of its norm, so useful values are near 1: SimCLR
            takes 0.3 for every 256 pairs.
        momentum: in [0, 1).
        weight_decay: >= 0; SimCLR takes 1e-6.
        trust: eta, > 0.

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        for name, value, fits, allowed in (
            ("lr", lr, lr >= 0, ">= 0"),
            ("momentum", momentum, 0 <= momentum < 1, "in [0, 1)"),
            ("weight_decay", weight_decay, weight_decay >= 0, ">= 0"),
            ("trust", trust, trust > 0, "> 0"),
        ):
            if not fits:
                raise ConfigError(f"LARS takes {name} {allowed}, got {value}")
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "exclude": False}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step on every parameter that has a gradient.

        Args:
            closure: computes the loss anew and its gradients; called first, if given.

        Returns:
            What ``closure`` returned, else None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [parameter for parameter in group["params"] if parameter.grad is not None]
            if weights:
                self._step(group, weights)
        return loss

    def _step(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        """One step on the tensors of a group, all of them in each call of the device."""
        for weight in weights:
            if "momentum" not in self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        velocities = [self.state[weight]["momentum"] for weight in weights]
        moves = [weight.grad for weight in weights if weight.grad is not None]
        torch._foreach_mul_(velocities, group["momentum"])
        if group["exclude"]:
            torch._foreach_add_(velocities, moves, alpha=group["lr"])
        else:
            decay = group["weight_decay"]
            ratios = _trust_ratios(weights, moves, decay, group["trust"])
            moves = list(torch._foreach_add(moves, weights, alpha=decay))  # g + b w
            torch._foreach_mul_(moves, ratios)
            torch._foreach_add_(velocities, moves, alpha=group["lr"])
        torch._foreach_sub_(weights, velocities)


def _trust_ratios(weights: list[Tensor], gradients: list[Tensor], decay: float, trust: float) -> list[Tensor]:
    """``eta |w| / (|g| + b |w|)`` of every tensor, a scalar each; 1 where |w| or |g| is 0."""
    w, g = (torch.stack(torch._foreach_norm(tensors)) for tensors in (weights, gradients))
    ratios = torch.where((w > 0) & (g > 0), trust * w / (g + decay * w), torch.ones_like(w))
    return list(ratios.unbind())
