"""The subcommands of `bench`, one file each: `configure(parser)` adds the flags, `run(args)` returns the exit code.

The table is explicit and holds the one-line help, so that `bench --help` imports none of them.
"""

COMMANDS = {
    "alert": "say whether a commit is worse than its base, from what compare and asv measured, as a CI shows it",
    "compare": "say whether one of two commits or commands is slower or larger, with a stated rate of error",
    "diff": "compare two captures of bench profile, function by function, per steady step",
    "doctor": "say what will hurt a training run before it does: the machine, its limits, and a target's workers",
    "init": "give a git repository an asv configuration, a first benchmark, rules and workflows; touch no file it has",
    "list": "list the named workloads of installed packages, or the runs that are kept; remove old ones",
    "log": "keep the change log of speed and memory: what each measured commit changed, by how much, how surely",
    "memory": "run a program unmodified, and show how much it and its workers truly hold, over time",
    "profile": "run a program unmodified, and show where it and its workers spend their time, function by function",
    "summary": "show what a benchmark run left: headline figures, throughput, memory per process, history",
    "vram": "predict the memory that a training step of a torch model will need, and what holds it",
}
