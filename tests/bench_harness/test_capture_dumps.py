"""How often a process that is captured dumps while it runs: at every turn, unless a dump takes too long for that."""

import json
import threading
import time
from pathlib import Path

import pytest

from bench_harness.capture.plan import Plan
from bench_harness.capture.runtime import ProcessCapture
from bench_harness.segments import PULSE, Identity, State, announce, read_segments, write_document

pytestmark = pytest.mark.timeout(60)


class Dumps:
    """Stands in for the dumps of a capture; each takes so much CPU time."""

    def __init__(self, cpu_s: float, enough: int) -> None:
        self.cpu_s, self.enough, self.count, self.came = cpu_s, enough, 0, threading.Event()

    def __call__(self) -> None:
        end_s = time.thread_time() + self.cpu_s
        while time.thread_time() < end_s:
            pass
        self.count += 1
        if self.count == self.enough:
            self.came.set()


def dumping(folder: Path, dumps: Dumps, monkeypatch: pytest.MonkeyPatch) -> ProcessCapture:
    capture = ProcessCapture(Plan(str(folder), engine="none", dump_every_s=0.01), Identity("main"))
    monkeypatch.setattr(capture, "dump", dumps)
    capture.start_dumping()
    return capture


def test_cheap_dumps_come_at_every_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dumps = Dumps(cpu_s=0.0, enough=5)
    capture = dumping(tmp_path, dumps, monkeypatch)
    assert dumps.came.wait(timeout=30)
    capture.stop_dumping()


def test_dear_dumps_take_a_tenth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dumps = Dumps(cpu_s=0.05, enough=2)
    begin_s = time.monotonic()
    capture = dumping(tmp_path, dumps, monkeypatch)
    assert dumps.came.wait(timeout=30)
    assert time.monotonic() - begin_s >= 0.05 / 0.1  # however fast or busy the machine is
    capture.stop_dumping()


def test_only_the_pulse_is_written_while_nothing_else_changes(tmp_path: Path) -> None:
    identity = Identity("main")
    announce(tmp_path, identity)
    capture = ProcessCapture(Plan(str(tmp_path), engine="none", dump_every_s=1000), identity)
    capture.start()
    capture.dump()
    told = (tmp_path / "main.json").read_bytes()
    known = []
    for _ in range(2):
        capture.dump()
        (segment,) = read_segments(tmp_path)
        assert segment.state is not None
        known.append(segment.state)
    assert (tmp_path / "main.json").read_bytes() == told
    assert json.loads(told)["wall_s"] < known[0].wall_s < known[1].wall_s
    assert known[1].cpu_s > 0
    assert known[1].rss_bytes
    capture.warn("something new")
    capture.dump()
    assert json.loads((tmp_path / "main.json").read_bytes())["warnings"] == ["something new"]
    capture.finish("exit")
    (segment,) = read_segments(tmp_path)
    assert segment.is_final
    assert segment.state is not None
    assert segment.state.wall_s > known[1].wall_s


@pytest.mark.parametrize("content", [b"", b"\0" * 10])
def test_a_pulse_that_is_not_all_there_says_nothing(tmp_path: Path, content: bytes) -> None:
    identity = Identity("main")
    announce(tmp_path, identity)
    write_document(tmp_path / "main.json", State(identity, "none", wall_s=1.0))
    (tmp_path / f"main{PULSE}").write_bytes(content)
    (segment,) = read_segments(tmp_path)
    assert segment.state is not None
    assert segment.state.wall_s == 1.0


@pytest.mark.parametrize(("engine", "said"), [("cprofile", ["functions still open are not counted"]), ("none", [])])
def test_what_an_end_from_another_thread_leaves_out(tmp_path: Path, engine: str, said: list[str]) -> None:
    """Only what counts calls needs the captured thread for that; what goes on all the same has left out nothing."""
    capture = ProcessCapture(Plan(str(tmp_path), engine), Identity("main"))
    capture.start()
    thread = threading.Thread(target=capture.finish, args=("SIGTERM, while it hung",))
    thread.start()
    thread.join()
    warned = list(capture.state.warnings)
    capture.resume()
    capture.finish("exit")
    assert [line.partition(": ")[2] for line in warned] == said
    assert (capture.state.reason, capture.state.warnings) == ("exit", [])
