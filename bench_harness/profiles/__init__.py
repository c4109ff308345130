"""What captured segments say: functions, waiting, merged artifacts, and how two captures differ."""
