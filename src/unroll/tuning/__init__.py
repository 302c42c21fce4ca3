"""Tuning: which settings serve best, at equal cost."""
