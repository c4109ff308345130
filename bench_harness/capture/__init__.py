"""CPU capture: run anybody's program unmodified, and profile its main process and every worker it forks or spawns."""
