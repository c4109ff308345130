"""By keys and signals a program under `bench profile` is stopped, continued and ended as without us."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from profiled_scripts import BENCH


class Terminal:
    """A shell with job control on a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        shell = "import pty; pty.spawn(['bash', '--norc', '--noprofile', '-i'])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", shell], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder
        )
        self.seen = b""

    def type(self, keys: str, *, until: str) -> str:
        """Type, and return what is shown until a text comes; hangs to the test's timeout if it does not."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(keys.encode())
        self.process.stdin.flush()
        shown = b""
        while until.encode() not in shown:
            piece = os.read(self.process.stdout.fileno(), 4096)
            assert piece, shown
            shown += piece
        return shown.decode(errors="replace")


@pytest.mark.timeout(60)
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell with job control")
def test_a_program_is_stopped_and_continued_from_the_keyboard(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import sys\ntry:\n    while True:\n        print('got', input('ready> ')[::-1], flush=True)\n"
        "except KeyboardInterrupt:\n    print('interrupted once')\n    sys.exit(9)\n"
    )
    terminal = Terminal(tmp_path)
    try:
        terminal.type(f"{' '.join(BENCH)} --out run script.py\n", until="ready> ")
        for word in ("one", "two"):
            terminal.type("\x1a", until="Stopped")
            terminal.type("fg\n", until="script.py\r\n")
            terminal.type(f"{word}\n", until=f"got {word[::-1]}")
        terminal.type("\x03", until="interrupted once")
        assert "code 9." in terminal.type("echo code $?.\n", until="code 9.")
    finally:
        terminal.process.kill()
        terminal.process.communicate()


@pytest.mark.timeout(60)
def test_a_slow_farewell_on_a_blocked_sigterm_is_not_cut_short(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\nprint('up', flush=True)\n"
        "signal.sigwait({signal.SIGTERM})\ntime.sleep(2.5)\nprint('farewell')\n"
    )
    command = [*BENCH, "--out", "run", "script.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.terminate()
        assert process.stdout.readline() == "farewell\n"
        process.communicate(timeout=30)
    assert process.returncode == 0
