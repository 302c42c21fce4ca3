"""Language modelling: predict each next token."""
