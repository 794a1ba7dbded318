"""Every tolerance of the tests of signals, networks and losses, in one place, with its reason."""

from __future__ import annotations

from typing import Final

# Relative to the largest expected magnitude, unless said otherwise.
FLOAT64: Final = 1e-10  # the same sums in another order, a dozen layers deep
FLOAT32_FILTER: Final = 1e-6  # a filter computed in float64, its result rounded to float32
FLOAT32_FFT: Final = 5e-6  # a filter computed by float32 FFTs
FLOAT32_TRANSFER: Final = 5e-7  # a float32 transfer function, of a row's peak; its phases' rounding is multiplied by 50
ROUNDED: Final = 2**-24  # a float64 result, rounded once
FLOAT32_NETWORK: Final = 2e-3  # gradients of eleven float32 layers against float64

# Decibels.
SNR_DB: Final = 0.1  # noise power over a crop: sqrt(2 / 20,000) of it is one standard deviation, 0.04 dB
GAIN_DB: Final = 1e-4
RESPONSE_DB: Final = 0.1  # a measured response against the stated transfer function
TONE_DB: Final = 0.05  # steady-state level of a filtered sine

SOX: Final = 1e-5  # relative; sox holds samples as 32-bit integers and some gains as float32
