"""Data: where tensors come from; knows no network."""
