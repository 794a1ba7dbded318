"""What a kernel has to do at least, and how long that takes at best."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """What a GPU can do at most, from its data sheet."""

    name: str
    bytes_per_second: float
    """Of its memory."""

    float32_per_second: float
    """Floating-point operations outside the tensor cores, a fused multiply-add counted as two."""

    float64_per_second: float
    """The same in double precision."""


H100 = Device("H100 SXM", bytes_per_second=3.35e12, float32_per_second=67e12, float64_per_second=34e12)


@dataclass(frozen=True)
class Work:
    """What one view costs."""

    memory: float
    """Bytes that must be read from or written to the device's memory."""

    float32: float = 0.0
    """Floating-point operations, two per instruction: what is no fused multiply-add takes the place of one."""

    float64: float = 0.0
    """The same in double precision."""

    def seconds(self, device: Device = H100) -> float:
        """The least time that the work can take: that of its scarcest resource, the others being hidden behind it."""
        return max(
            self.memory / device.bytes_per_second,
            self.float32 / device.float32_per_second,
            self.float64 / device.float64_per_second,
        )
