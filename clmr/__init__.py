"""Contrastive learning of musical representations: encoder, projector, loss, augmentations and metrics."""
