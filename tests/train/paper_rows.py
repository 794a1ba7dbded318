"""What the paper prints of the runs that pretrain CLMR, typed from its tables."""

from __future__ import annotations

# Tracks an epoch goes through: MTAT's training clips joined by song (appendix A; counted), the others as sections 3.1
# and 3.5 of the paper print them.
TRACKS = {"mtat": 3_923, "msd": 201_680, "fma": 22_413, "gtzan": 930, "billboard": 461}

# name: (data set, epochs, batch, Hz, ROC-AUC and PR-AUC by tag, and by clip where the paper's table has them).
PAPER: dict[str, tuple[str, int, int, int, list[float], list[float] | None]] = {
    "mtat": ("mtat", 10_000, 96, 22_050, [88.5, 35.4], None),
    "msd": ("msd", 1_000, 96, 22_050, [85.7, 25.0], None),
    "fma": ("fma", 1_000, 96, 22_050, [86.2, 30.6], None),
    "gtzan": ("gtzan", 10_000, 96, 22_050, [81.9, 26.2], None),
    "billboard": ("billboard", 10_000, 96, 22_050, [82.7, 26.9], None),
    "table2-filter": ("mtat", 1_000, 96, 22_050, [87.6, 33.3], [92.5, 67.9]),
    "table2-reverb": ("mtat", 1_000, 96, 22_050, [86.5, 31.7], [91.8, 65.8]),
    "table2-polarity": ("mtat", 1_000, 96, 22_050, [86.3, 31.5], [91.7, 65.7]),
    "table2-noise": ("mtat", 1_000, 96, 22_050, [86.1, 31.5], [91.5, 65.5]),
    "table2-pitch": ("mtat", 1_000, 96, 22_050, [86.4, 31.5], [91.5, 65.3]),
    "table2-gain": ("mtat", 1_000, 96, 22_050, [86.2, 31.1], [91.5, 65.1]),
    "table2-delay": ("mtat", 1_000, 96, 22_050, [85.8, 30.5], [91.3, 64.9]),
    "table2-crop": ("mtat", 1_000, 96, 22_050, [85.8, 30.5], [91.3, 64.8]),
    "table4-batch-456": ("mtat", 3_000, 456, 22_050, [88.1, 34.9], [93.0, 68.9]),
    "table4-batch-96": ("mtat", 3_000, 96, 22_050, [88.5, 35.1], [93.0, 69.2]),
    "table4-batch-48": ("mtat", 3_000, 48, 22_050, [87.9, 34.6], [92.9, 68.8]),
    "table5-epochs-10000": ("mtat", 10_000, 96, 22_050, [88.5, 35.4], [93.2, 69.3]),
    "table5-epochs-3000": ("mtat", 3_000, 96, 22_050, [88.5, 35.1], [93.1, 69.2]),
    "table5-epochs-1000": ("mtat", 1_000, 96, 22_050, [88.3, 34.4], [92.9, 68.6]),
    "table5-epochs-300": ("mtat", 300, 96, 22_050, [87.1, 32.7], [92.0, 66.6]),
    "table5-epochs-100": ("mtat", 100, 96, 22_050, [86.4, 30.9], [91.3, 64.1]),
    "table6-rate-22050": ("mtat", 1_000, 96, 22_050, [85.8, 30.5], [91.3, 64.8]),
    "table6-rate-16000": ("mtat", 1_000, 96, 16_000, [85.5, 30.4], [91.0, 64.1]),
    "table6-rate-8000": ("mtat", 1_000, 96, 8_000, [84.8, 29.8], [90.6, 62.9]),
}
# With a hidden layer: Tables 1, 3 and C.1, by tag and by clip.
MLP: dict[str, tuple[list[float], list[float] | None]] = {
    "mtat": ([89.3, 35.9], None),
    "fma": ([86.6, 31.2], None),
    "gtzan": ([85.4, 29.5], None),
    "billboard": ([84.2, 27.8], None),
    "table5-epochs-10000": ([89.3, 35.9], [93.5, 70.0]),
    "table5-epochs-3000": ([88.9, 35.5], [93.3, 69.7]),
    "table5-epochs-1000": ([88.6, 34.9], [93.1, 69.2]),
    "table5-epochs-300": ([87.4, 32.5], [92.0, 66.7]),
    "table5-epochs-100": ([86.6, 31.3], [91.3, 64.6]),
}
