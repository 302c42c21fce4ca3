"""Tracking: where runs are logged."""
