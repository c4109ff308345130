"""Run a Python program and count its function calls: python count_calls.py FILE (script | -m module | -c code) ARGS...

It runs in the interpreter of the program, where none of bench_harness may be installed: standard library only.
"""

import cProfile
import runpy
import sys
from pathlib import Path
from types import CodeType


def main() -> None:
    """Run what the arguments say, as `python` would, and write the number of calls to FILE."""
    target, kind, *rest = sys.argv[1:]
    del sys.path[0]  # the folder of this file, put there because it is the script
    profile = cProfile.Profile()
    try:
        if kind == "-m":
            sys.argv = rest
            sys.path.insert(0, str(Path.cwd()))
            profile.runcall(runpy.run_module, rest[0], run_name="__main__", alter_sys=True)
        elif kind == "-c":
            sys.argv = ["-c", *rest[1:]]
            sys.path.insert(0, "")
            profile.runcall(_execute, compile(rest[0], "<string>", "exec"))
        else:
            sys.argv = [kind, *rest]
            sys.path.insert(0, str(Path(kind).resolve().parent))
            profile.runcall(runpy.run_path, kind, run_name="__main__")
    finally:
        profile.disable()
        calls = sum(entry.callcount for entry in profile.getstats())
        Path(target).write_text(f"{calls}\n")


def _execute(code: CodeType) -> None:
    exec(code, {"__name__": "__main__", "__builtins__": __builtins__})


if __name__ == "__main__":
    main()
