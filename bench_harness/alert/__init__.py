"""Whether a commit is worse than its base, from measurements that exist, in the words of each place that asks."""
