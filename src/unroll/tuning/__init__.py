"""Hyperparameter tuning at equal cost."""
