"""CPC as it is trained: audio in, latents and the predictions of latents to come out (paper section 2.5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clmr.cpc.encoder import build_encoder, latent_count
from clmr.errors import ConfigError


class CPC(nn.Module):
    """Encoder, recurrent context and one linear prediction per step.

    With the paper's sizes it has 8,988,672 parameters, of which 2,621,440 predict and are of no use afterwards.

    Args:
        width: filters of each convolution, the length of a latent z; >= 1. The paper's is 512.
        context: hidden units of the GRU, the length of a context c; >= 1. The paper's is 256 (section 2.6).
        steps: K, latents predicted from each context; >= 1. The paper's is 20.
        batch_norm: normalise behind every convolution, over all ranks. The paper does not speak of it for CPC and the
            authors' code has none: statistics over time carry news of what is to be predicted (Henaff et al., 2019).

    Raises:
        ConfigError: a size is below 1.
    """

    def __init__(self, width: int = 512, context: int = 256, steps: int = 20, *, batch_norm: bool = False) -> None:
        super().__init__()
        for name, value in (("width", width), ("context", context), ("steps", steps)):
            if value < 1:
                raise ConfigError(f"CPC: {name} must be at least 1, got {value}")
        self.width, self.context, self.steps = width, context, steps
        self.encoder = build_encoder(width, batch_norm=batch_norm)
        self.recurrence = nn.GRU(width, context, batch_first=True)
        self.predictor = nn.Linear(context, steps * width, bias=False)  # W_1 .. W_K, one under the other

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Encode and predict.

        Args:
            audio: float, shape ``[N, 1, T]``, in +-1, with L = ``latent_count(T)`` greater than ``steps``.

        Returns:
            Latents z, shape ``[N, L, width]``, and predictions W_k c_t, shape ``[N, L - 1, steps, width]``: that of
            z_{t+k} from what was heard until t is ``[:, t, k - 1]``. The last context has nothing left to predict.

        Raises:
            ConfigError: another shape, or audio too short.
        """
        z, c = self.latents_and_contexts(audio)
        if z.shape[1] <= self.steps:
            raise ConfigError(
                f"audio of {audio.shape[2]} samples gives {z.shape[1]} latents, and {self.steps} steps ahead need "
                "more of them than steps: cut longer crops or predict fewer steps"
            )
        return z, self.predictor(c[:, :-1]).unflatten(2, (self.steps, self.width))

    def latents_and_contexts(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Latents ``[N, L, width]`` and contexts ``[N, L, context]`` of audio ``[N, 1, T]``."""
        if audio.ndim != 3 or audio.shape[1] != 1 or not audio.is_floating_point():
            raise ConfigError(f"CPC takes float audio of shape [N, 1, T], got {audio.dtype} {list(audio.shape)}")
        if latent_count(audio.shape[2]) < 1:
            raise ConfigError(f"audio of {audio.shape[2]} samples is too short for one latent of CPC")
        z = self.encoder(audio).transpose(1, 2)
        # Rounding would add up over the L steps of the recurrence: no half precision here.
        with torch.autocast(audio.device.type, enabled=False):
            c, _ = self.recurrence(z.to(self.recurrence.weight_hh_l0.dtype).contiguous())
        return z, c
