"""How often verdicts are wrong on this machine: known workloads against themselves and against slower copies."""
