"""Every tolerance of the tests of signals, networks and losses, in one place, with its reason."""

from __future__ import annotations

from typing import Final

# Relative to the largest expected magnitude, unless said otherwise.
FLOAT64: Final = 1e-10  # the same sums in another order, a dozen layers deep
FLOAT32_FILTER: Final = 1e-6  # a filter computed in float64, its result rounded to float32
FLOAT32_FFT: Final = 5e-6  # a filter computed by float32 FFTs
FLOAT32_TRANSFER: Final = 5e-7  # a float32 transfer function, of a row's peak; its phases' rounding is multiplied by 50
ROUNDED: Final = 2**-24  # a float64 result, rounded once
FLOAT32_FADE: Final = 2e-7  # a cross-fade is one rounding or two, as the compiler likes
FLOAT32_FADES: Final = 2**-23  # the same of samples within +-1, absolute: rounded three times
FLOAT32_SINC: Final = 1e-6  # a float32 sum of 130 products with rounded weights, absolute
FLOAT32_RESAMPLING: Final = 2e-6  # sums of some hundred products with weights rounded to float32
FLOAT32_PITCH: Final = 2e-6  # the cross-fades and the resampling
RIPPLE: Final = 1e-4  # of a resampling filter's pass band; its window's side lobes are 93 dB down
FLOAT32_LOSS: Final = 4e-6  # gradients of a float32 loss; a logit near 10 is rounded by 6e-7
FLOAT32_NETWORK: Final = 2e-3  # gradients of eleven float32 layers against float64

# Decibels.
SNR_DB: Final = 0.1  # noise power over a crop: sqrt(2 / 20,000) of it is one standard deviation, 0.04 dB
GAIN_DB: Final = 1e-4
RESPONSE_DB: Final = 0.1  # a measured response against the stated transfer function
TONE_DB: Final = 0.05  # steady-state level of a filtered sine

SOX: Final = 1e-5  # relative; sox holds samples as 32-bit integers and some gains as float32
SOX_TEMPO_DB: Final = 100.0  # ratio to the difference; sox rounds samples to 24 bits
REVERB_FLOAT32_DB: Final = 88.0  # the same; an FFT's rounding grows where the damping of the circle is undone
REVERB_FLOAT64_DB: Final = 120.0  # the same; sox computes in float32
REVERB_WORST_DB: Final = 78.0  # the same, for clicks, fades and tones off resonance in the worst corner of the settings
REVERB_MUSIC_DB: Final = 80.0  # the same, of music; 83.6 measured, in the smallest room
REVERB_RESONANCE_DB: Final = 60.0  # the same, of a tone on a resonance: the rounding of its few bins is all there is
STOPBAND_DB: Final = -90.0  # images and aliases of the resampling

LOG_MEL_DB: Final = 0.5  # mean distance of a pitch shift to sox's, whose resampling filter is longer
LOUDEST_TO_FLOOR_DB: Final = 80.0  # of that mean; what is 80 dB below the loudest band is not heard
CENTS: Final = 3.0  # of the pitch of a shifted tone
