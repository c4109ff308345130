"""Named workloads that packages register, to run as `bench profile @name`."""
