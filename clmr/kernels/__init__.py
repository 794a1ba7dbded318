"""Triton kernels of the encoder's fused training pass, which is bound by memory traffic."""
