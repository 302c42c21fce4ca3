"""Training: callbacks, checkpoints, optimizers and distributed processes."""
