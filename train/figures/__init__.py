"""The paper's figures, of any run: python -m train.figures NAME ... --out DIR; see docs/figures.md."""
