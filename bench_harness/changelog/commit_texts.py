"""What commits say of themselves: the trailers Perf-Note and Perf-Expect, notes of refs/notes/perf, the subject."""

from dataclasses import dataclass
from pathlib import Path

from bench_harness.errors import UsageError
from bench_harness.git import git_output, git_problem

NOTES = "perf"  # refs/notes/perf
_FIELD, _ITEM, _COMMIT = "\x1f", "\x1e", "\0"


@dataclass(frozen=True)
class CommitText:
    """One commit.

    Args:
        date: of the committer, as ISO 8601 with its time zone.
        text: the Perf-Note trailers, else the note, else the subject; `source` is trailer, note or subject.
        expectations: the Perf-Expect trailers as they stand there.
    """

    commit: str
    date: str
    text: str
    source: str
    expectations: tuple[str, ...] = ()


def commit_texts(folder: Path, revisions: str) -> dict[str, CommitText]:
    """Return the text of every commit on the first-parent line of `revisions`; nothing where git does not answer."""
    form = _FIELD.join(["%H", "%cI", "%s", _trailer("Perf-Note"), _trailer("Perf-Expect"), "%N"]) + "%x00"
    # A user's log.showSignature would put lines of gpg before each commit.
    options = ("--first-parent", "--no-show-signature", f"--notes={NOTES}", f"--format={form}")
    listed = git_output(folder, "log", *options, "--end-of-options", revisions, "--")
    texts = (_text(entry.strip("\n")) for entry in (listed or "").split(_COMMIT) if entry.strip())
    return {text.commit: text for text in texts}


def _trailer(key: str) -> str:
    return f"%(trailers:key={key},valueonly,unfold,separator=%x1e)"


def _text(entry: str) -> CommitText:
    commit, date, subject, noted, expected, note = entry.split(_FIELD, 5)
    choices = (("trailer", "; ".join(_items(noted))), ("note", one_line(note)), ("subject", one_line(subject)))
    source, text = next(((source, text) for source, text in choices if text), ("subject", ""))
    return CommitText(commit, date, text, source, tuple(_items(expected)))


def _items(text: str) -> list[str]:
    return [line for item in text.split(_ITEM) if (line := one_line(item))]


def one_line(text: str) -> str:
    """Return a text with every run of white space as one space."""
    return " ".join(text.split())


def add_note(folder: Path, commit: str, text: str, *, replace: bool = False) -> str:
    """Write `text` as the note of a commit, and return the commit's full hash.

    Raises:
        UsageError: an empty text, no such commit, a note that is there already and not to be replaced.
    """
    if not one_line(text):
        raise UsageError("-m: the text is empty")
    full = git_output(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    if full is None:
        raise UsageError(f"git knows no commit '{commit}'")
    present = git_output(folder, "notes", f"--ref={NOTES}", "show", full)
    if present is not None and not replace:
        raise UsageError(
            f"commit {full[:12]} has a note already ('{one_line(present)[:60]}'); --replace writes over it"
        )
    problem = git_problem(folder, "notes", f"--ref={NOTES}", "add", "--force", "-m", text, full)
    if problem is not None:
        raise UsageError(f"git wrote no note of commit {full[:12]}: {problem}")
    return full
