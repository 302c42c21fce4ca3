"""Transduction: write a target sequence for each source sequence."""
