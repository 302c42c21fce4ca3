"""Analysis of finished runs: comparisons, verdicts, plots and the report."""
