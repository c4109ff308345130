"""The page about storages and workers: what is measured, its tables and its picture."""
