"""The projection head between the encoder's features and the loss."""

from __future__ import annotations

from torch import nn

from clmr.errors import ConfigError


class Projector(nn.Sequential):
    """z = W2 relu(W1 h), without biases (paper section 2.3: 512 - 512 - 128).

    Args:
        width: size of the features h, >= 1.
        hidden: rows of W1, >= 1; ``width`` unless told.
        out: size of z, >= 1.

    Shape:
        ``[..., width]`` -> ``[..., out]``.
    """

    def __init__(self, width: int, hidden: int | None = None, out: int = 128) -> None:
        hidden = width if hidden is None else hidden
        if min(width, hidden, out) < 1:
            raise ConfigError(f"projector sizes must be >= 1, got width {width}, hidden {hidden}, out {out}")
        super().__init__(nn.Linear(width, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, out, bias=False))
        self.out = out
