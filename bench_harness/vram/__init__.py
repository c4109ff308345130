"""The memory that a training step will need, predicted without allocating it."""
