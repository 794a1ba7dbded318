"""Everything that needs a GPU, checked and measured by one command: see docs/gpu.md."""
