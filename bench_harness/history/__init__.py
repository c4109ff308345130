"""What earlier measurements left: asv results per commit, and the JSON object of a workload's run."""
