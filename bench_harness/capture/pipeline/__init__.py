"""Where the time between two batches goes: hooks on torch's DataLoader, and the verdict on what bounds the loop."""
