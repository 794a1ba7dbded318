"""Weights in files: reading them without running code, the authors' key layouts, and modules built from them."""
