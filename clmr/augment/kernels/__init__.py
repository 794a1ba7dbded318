"""Triton kernels of the augmentations whose plain PyTorch form is bound by memory traffic or by launches."""
