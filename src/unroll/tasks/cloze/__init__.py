"""Cloze: predict each token from all others of its sequence."""
