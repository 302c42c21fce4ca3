"""Studies: many runs of one question, chosen by Optuna, at equal budgets, by workers that may be killed."""
