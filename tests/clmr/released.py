"""Files as the authors' two code bases wrote them: plain torch modules with their names, saved as they saved them."""

from __future__ import annotations

import io
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from tests.clmr.plain import plain_sample_cnn

WIDTH = 16
M = TypeVar("M", bound=nn.Module)


class SecondEncoder(nn.Module):
    """Version 2: the layers in ``sequential``, and ``fc``."""

    def __init__(self, sample_rate: int, width: int, fc: nn.Module) -> None:
        super().__init__()
        self.sequential = plain_sample_cnn(sample_rate, width)
        self.fc = fc

    def forward(self, audio: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.sequential(audio).flatten(1))
        return logits


class FirstEncoder(nn.Module):
    """Version 1: the layers ``conv1`` to ``conv11``, and ``fc``."""

    def __init__(self, sample_rate: int, width: int, fc: nn.Module) -> None:
        super().__init__()
        for number, layer in enumerate(plain_sample_cnn(sample_rate, width), start=1):
            setattr(self, f"conv{number}", layer)
        self.fc = fc

    def forward(self, audio: Tensor) -> Tensor:
        for number in range(1, 12):
            audio = getattr(self, f"conv{number}")(audio)
        logits: Tensor = self.fc(audio.flatten(1))
        return logits


class SimCLR(nn.Module):
    """``encoder`` and ``projector``, as in both versions."""

    def __init__(self, encoder: nn.Module, width: int, out: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = nn.Sequential(
            nn.Linear(width, width, bias=False), nn.ReLU(), nn.Linear(width, out, bias=False)
        )


class LightningSimCLR(nn.Module):
    """Version 2's training module: the encoder by itself, and again inside ``model``."""

    def __init__(self, simclr: SimCLR) -> None:
        super().__init__()
        self.encoder = simclr.encoder
        self.model = simclr


class LightningHead(nn.Module):
    """Version 2's linear evaluation: the frozen encoder, and the classifier as ``model``."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.model = head


def scrambled(module: M) -> M:
    """Arbitrary weights and running statistics, in evaluation mode."""
    torch.manual_seed(1)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if name.endswith("running_var") else 0.3 * torch.randn_like(value))
    return module.eval()


def simclr(version: int, sample_rate: int = 22050, width: int = WIDTH, out: int = 12) -> SimCLR:
    """A whole model of version 1 or 2."""
    encoder = {1: FirstEncoder, 2: SecondEncoder}[version](sample_rate, width, nn.Identity())
    return scrambled(SimCLR(encoder, width, out))


def linear_head(width: int = WIDTH) -> nn.Sequential:
    return scrambled(nn.Sequential(nn.Linear(width, 5)))


def mlp_head(width: int = WIDTH) -> nn.Sequential:
    return scrambled(nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 5)))


def lightning(module: nn.Module) -> dict[str, object]:
    """What Lightning saves with a module: settings, classes as keys, and the optimiser's state."""
    return {
        "epoch": 9999,
        "global_step": 7,
        "pytorch-lightning_version": "1.2.8",
        "callbacks": {Namespace: {"best_model_score": torch.tensor(1.0), "dirpath": Path("runs")}},
        "optimizer_states": [
            {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 3e-4, "params": [0]}]}
        ],
        "state_dict": module.state_dict(),
        "hparams_name": "args",
        "hyper_parameters": Namespace(batch_size=96, dataset="magnatagatune"),
    }


def packed(members: dict[str, object]) -> bytes:
    """A zip of files that torch saved, or of bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            saved = io.BytesIO()
            if not isinstance(value, bytes):
                torch.save(value, saved)
            archive.writestr(name, value if isinstance(value, bytes) else saved.getvalue())
    return content.getvalue()
