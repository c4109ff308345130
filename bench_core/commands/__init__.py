"""The commands of `python -m bench_core`, one file each: add_arguments(parser) and run(arguments) -> exit code."""
