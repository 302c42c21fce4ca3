"""Analysis: what finished runs say, and how sure that is."""
