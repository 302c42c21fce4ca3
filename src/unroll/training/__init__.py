"""Training: how a task is trained."""
