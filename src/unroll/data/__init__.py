"""Data: readers, preparation, and loaders of batches; independent of networks."""
