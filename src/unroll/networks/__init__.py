"""Networks: whole sequences, built from cells."""
