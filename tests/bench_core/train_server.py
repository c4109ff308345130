"""Imports what training needs, then forks a process that trains for each order it reads: imports take seconds.

Each is a process of its own in a session of its own, which starts as `python -m bench_core train` would go on after
its imports. Orders are lines of JSON: {"arguments": [...], "output": folder} is answered by the process's id,
{"wait": id} by its exit code once it has ended (-9 for SIGKILL).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import tiny_models  # noqa: F401
import torch

from bench_core.__main__ import main
from bench_core.training import fit  # noqa: F401


def serve() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        order = json.loads(line)
        print(_ended(order["wait"]) if "wait" in order else _started(order), flush=True)


def _started(order: dict[str, Any]) -> int:
    process = os.fork()
    if not process:
        os.setsid()
        for descriptor, name in enumerate((os.devnull, "stdout", "stderr")):
            flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT
            os.dup2(os.open(Path(order["output"]) / name, flags), descriptor)
        sys.exit(main(["train", *order["arguments"]]))
    return process


def _ended(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


class Served:
    """A process that a server has started, in the manner of subprocess.Popen."""

    def __init__(self, server: Server, pid: int, output: Path) -> None:
        self._server, self.pid, self._output = server, pid, output
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Return its exit code; the test's own time limit ends a process that does not end."""
        if self.returncode is None:
            self.returncode = self._server.ask({"wait": self.pid})
        return self.returncode

    def communicate(self) -> tuple[str, str]:
        """Wait, and return what it wrote to stdout and stderr."""
        self.wait()
        return (self._output / "stdout").read_text(), (self._output / "stderr").read_text()


class Server:
    """Starts processes that train; see `serve`."""

    def __init__(self, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "train_server"]  # so that it has the package that pytest has
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def start(self, output: Path, arguments: list[str]) -> Served:
        output.mkdir()
        return Served(self, self.ask({"arguments": arguments, "output": str(output)}), output)

    def ask(self, order: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=30)


if __name__ == "__main__":
    serve()
