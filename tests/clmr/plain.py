"""SampleCNN once more, as plainly as torch allows: Conv1d, BatchNorm1d, ReLU, MaxPool1d, layer by layer."""

from __future__ import annotations

from torch import nn

# rate -> kernel (and pooling) of the nine middle layers, typed in from the authors' code
KERNELS = {
    22050: [3, 3, 3, 3, 3, 3, 3, 3, 3],
    16000: [3, 3, 3, 3, 3, 3, 5, 2, 2],
    8000: [3, 3, 3, 2, 2, 4, 4, 2, 2],
}


def plain_sample_cnn(sample_rate: int, width: int) -> nn.Sequential:
    """``[N, 1, T]`` -> ``[N, width, 1]``; state-dict keys ``{0..10}.{0,1}.*``."""
    narrow, middle = width // 4, width // 2
    inputs = [narrow, narrow, narrow, middle, middle, middle, middle, middle, middle]
    outputs = [narrow, narrow, middle, middle, middle, middle, middle, middle, width]
    layers = [nn.Sequential(nn.Conv1d(1, narrow, 3, stride=3), nn.BatchNorm1d(narrow), nn.ReLU())]
    for i, o, kernel in zip(inputs, outputs, KERNELS[sample_rate], strict=True):
        conv = nn.Conv1d(i, o, kernel, padding=1)
        layers.append(nn.Sequential(conv, nn.BatchNorm1d(o), nn.ReLU(), nn.MaxPool1d(kernel, kernel)))
    layers.append(nn.Sequential(nn.Conv1d(width, width, 3, padding=1), nn.BatchNorm1d(width), nn.ReLU()))
    return nn.Sequential(*layers)
