"""The block between the markers is replaced, every other byte stays."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_harness.changelog.marked_file import BEGIN, END, rewritten
from bench_harness.errors import UsageError

BLOCK = "| a |\n|---|\n"
ANY = st.binary(max_size=200).filter(lambda data: b"<!--" not in data and b"\r\n" not in data)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("before", [b"", b"# Title \xff\xfe\n\n", b"\xef\xbb\xbf# BOM"])
@pytest.mark.parametrize("after", [b"", b"\n\ntail without newline", b"\n\x00\n"])
def test_text_outside_survives_byte_for_byte(tmp_path: Path, before: bytes, after: bytes, newline: str) -> None:
    path, end = tmp_path / "CHANGES.md", newline.encode()
    before, after = before.replace(b"\n", end), after.replace(b"\n", end)
    path.write_bytes(before + BEGIN.encode() + end + b"old" + end + END.encode() + after)
    assert rewritten(path, BLOCK)
    written = path.read_bytes()
    assert written == before + f"{BEGIN}\n{BLOCK}{END}".replace("\n", newline).encode() + after
    assert not rewritten(path, BLOCK)
    assert path.read_bytes() == written


@given(ANY, ANY)
def test_any_bytes_survive(tmp_path_factory: pytest.TempPathFactory, before: bytes, after: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "f"
    path.write_bytes(before + f"{BEGIN}\n{END}".encode() + after)
    rewritten(path, BLOCK)
    assert path.read_bytes() == before + f"{BEGIN}\n{BLOCK}{END}".encode() + after


def test_an_unchanged_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "f"
    rewritten(path, BLOCK, init=True)
    before = path.stat()
    assert not rewritten(path, BLOCK, init=True)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize(("old", "start"), [(b"", b""), (b"text", b"text\n\n"), (b"text\n", b"text\n\n")])
def test_init_appends_the_markers(tmp_path: Path, old: bytes, start: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(old)
    assert rewritten(path, BLOCK, init=True)
    assert path.read_bytes() == start + f"{BEGIN}\n{BLOCK}{END}\n".encode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file; --init makes it"),
        ("no markers", "no line <!-- bench log begin -->; --init appends"),
        (f"{BEGIN}\n", "found 1 and 0"),
        (f"{END}\n{BEGIN}\n", "found 1 and 1"),
        (f"{BEGIN}{END}{BEGIN}{END}", "found 2 and 2"),
    ],
)
def test_what_is_no_pair_of_markers_is_refused_and_kept(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "f"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        rewritten(path, BLOCK)
    assert path.exists() == (text is not None)
    if text is not None:
        assert path.read_text(encoding="utf-8") == text
    assert len(list(tmp_path.iterdir())) == (text is not None)


def test_permissions_stay(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    path.chmod(0o600)
    assert rewritten(path, BLOCK)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    link.symlink_to(target)
    assert rewritten(link, BLOCK)
    assert link.is_symlink()
    assert BLOCK in target.read_text(encoding="utf-8")
