"""What the linear probe gets of CPC: the contexts of a window, averaged over time (paper section 2.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from clmr.cpc.model import CPC
from clmr.errors import ResumeError

SYSTEM = "cpc"


class CpcFeatures(nn.Module):
    """Features of windows from a trained CPC.

    The paper takes "the representations from the autoregressor" and averages them over time. It gives their size as
    (20, 256) and the average's as 512, which cannot both be; the mean of 256-dimensional contexts has 256.

    Args:
        cpc: the trained model.
        sample_rate: Hz of the audio it was trained on.

    Attributes:
        width: features per window, those of the context.
        sample_rate: Hz.

    Shape:
        float ``[N, 1, T]`` in +-1, T of any length that gives a latent -> ``[N, width]``, in +-1.
    """

    def __init__(self, cpc: CPC, sample_rate: int) -> None:
        super().__init__()
        self.cpc, self.sample_rate, self.width = cpc, sample_rate, cpc.context

    def forward(self, audio: Tensor) -> Tensor:
        """The mean context over all steps."""
        _, c = self.cpc.latents_and_contexts(audio)
        return c.mean(dim=1)


def describe(cpc: CPC, sample_rate: int) -> dict[str, Any]:
    """The sizes of a model, as a checkpoint keeps them under ``encoder_config``."""
    return {
        "system": SYSTEM,
        "sample_rate": sample_rate,
        "width": cpc.width,
        "context": cpc.context,
        "steps": cpc.steps,
        "batch_norm": any(name.endswith("running_mean") for name, _ in cpc.named_buffers()),
    }


def load_features(state: Mapping[str, Any]) -> CpcFeatures:
    """The features of a checkpoint's model, in evaluation mode, float32.

    Args:
        state: a checkpoint of train/cpc.py: ``encoder_config`` from :func:`describe`, and ``model``, the weights.

    Raises:
        ResumeError: it is the checkpoint of another system, or the weights do not fit.
    """
    sizes = dict(state["encoder_config"])
    if sizes.pop("system", None) != SYSTEM:
        raise ResumeError("these are not the weights of CPC; give a run of train/cpc.py")
    try:
        sample_rate = sizes.pop("sample_rate")
        cpc = CPC(**sizes)
        cpc.load_state_dict(state["model"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise ResumeError(f"the weights do not fit this version's CPC ({str(error).splitlines()[0]})") from error
    return CpcFeatures(cpc, sample_rate).eval()
