"""An encoder in one line: from a run, from one of its checkpoints, or from anybody's weights."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from clmr.encoder import SampleCNN
from clmr.errors import ResumeError
from clmr.official import OfficialWeights, load_official
from clmr.weights.files import local
from clmr.weights.reading import OtherSystemError

CHECKPOINT = re.compile(r"step-[0-9]{8}\.pt")  # as train/runs/checkpoint.py names them; the names sort by step


def load_encoder(path_or_run: str | Path) -> SampleCNN:
    """The encoder of a run or of a file of weights, in evaluation mode, float32, on the CPU; no code in it is run.

    Args:
        path_or_run: a run folder of train/pretrain.py, whose newest readable checkpoint is taken; or a file: one of its
            checkpoints, the authors' weights in any of their layouts, a zip of these, or safetensors.

    Returns:
        float ``[N, 1, encoder.crop_frames]`` in +-1 at ``encoder.sample_rate`` -> features ``[N, encoder.width]``.

    Raises:
        ResumeError: there are no weights, or they cannot be read or do not fit.
    """
    return load_weights(path_or_run).encoder


def load_weights(path_or_run: str | Path) -> OfficialWeights:
    """As :func:`load_encoder`, with the projector and the classifier where there are any."""
    path = local(path_or_run)
    if not path.is_dir():
        return load_official(path)
    newest_first = sorted(
        (file for file in (path / "checkpoints").glob("step-*.pt") if CHECKPOINT.fullmatch(file.name)), reverse=True
    )
    for file in newest_first:
        try:
            return load_official(file)
        except OtherSystemError:
            raise
        except ResumeError as error:
            warnings.warn(f"{error}; the checkpoint before it is taken", stacklevel=3)
    if newest_first:
        raise ResumeError(f"{path}: none of its {len(newest_first)} checkpoints can be read")
    raise ResumeError(f"{path} holds no checkpoints/step-*.pt; give a run of train/pretrain.py, or a file of weights")
