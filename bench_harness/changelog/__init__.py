"""The change log that `bench log` keeps: what each commit says of itself, beside what asv measured before and after."""
