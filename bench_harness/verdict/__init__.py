"""Verdicts on two sides, base and head: measured in fresh processes, in rounds, with a stated rate of error."""
