"""Tagging: predict the label of each token."""
