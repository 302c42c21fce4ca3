"""Regression: predict one number for each sequence."""
