"""Distributions, intervals and corrections that verdicts rest on, in plain Python."""
