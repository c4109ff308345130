"""Names under which a function of one run is found again in another: a shortened path and a name, no line number.

Between two runs lines move, packages lie in other environments, checkouts in other folders (asv's, a temporary clone,
a notebook's /content) and C objects at other addresses. With exact keys two thirds of two captures of one program do
not match; with these, nearly all do. Two functions of one file and one name share a key.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

C_CODE = "~"
# As pstats prints what has no file; cProfile writes it in angle brackets.
_BUILT_IN = re.compile(r"<((?:built-in |method |slot wrapper |wrapper ).*)>")
# Each is cut off; what follows is the same wherever the package, the interpreter or asv's environment lies.
_PREFIXES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:.*/)?(?:site|dist)-packages/",
        r"(?:.*/)?lib(?:32|64)?/python(?:3(?:\.?\d+t?)?)?(?:\.zip)?/(?=.)",
        r"[A-Za-z]:/.*/Lib/(?=.)",
        r"(?:.*/)?env/[0-9a-f]{32}/(?:project/)?(?=.)",
    )
)
_NOTEBOOK_CELL = re.compile(r"<ipython-input-.*>|(?:.*/)?ipykernel_\d+/\d+\.py")
_FROZEN = re.compile(r"<frozen ([\w.]+)>")
_NUMBERED = re.compile(r"(<eval_with_key>)\.\d+")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_KEPT_PARTS = 3


def normal_name(name: str) -> str:
    """Return a function's name without the addresses of objects: {built-in method __new__ of type object}."""
    return _BUILT_IN.sub(r"{\1}", _until_stable(lambda text: _ADDRESS.sub("", text), name))


def normal_path(path: str) -> str:
    """Return a path without the folders of interpreters, packages and environments; the rest stays absolute."""
    return _until_stable(_shortened, path.replace("\\", "/"))


def _until_stable(change: Callable[[str], str], text: str) -> str:
    while (changed := change(text)) != text:
        text = changed
    return text


def _shortened(path: str) -> str:
    if _NOTEBOOK_CELL.fullmatch(path):
        return "<cell>"
    if frozen := _FROZEN.fullmatch(path):
        # The standard library's frozen modules are files in an older Python.
        return f"{frozen[1].replace('.', '/')}.py"
    path = _NUMBERED.sub(r"\1", path)
    for prefix in _PREFIXES:
        path = path[match.end() :] if (match := prefix.match(path)) else path
    return path or C_CODE


def is_absolute(path: str) -> bool:
    """Tell whether a path (with slashes) begins at the root of a file system."""
    return path.startswith("/") or re.match(r"[A-Za-z]:/", path) is not None


def matched_paths(paths_a: Iterable[str], paths_b: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the path to use in a key for each path of the two sides.

    After `normal_path`, what is still absolute lies in the user's own folders, whose roots no capture names: the two
    roots below which most files of the sides agree are taken for the same place, then the next two, until no two files
    agree. What is absolute after that keeps its last three parts.
    """
    normal_a, normal_b = ({path: normal_path(path) for path in paths} for paths in (paths_a, paths_b))
    below_a, below_b = _below_common_roots(set(normal_a.values()), set(normal_b.values()))
    return _named(normal_a, below_a), _named(normal_b, below_b)


def _named(normal: Mapping[str, str], below: Mapping[str, str]) -> dict[str, str]:
    return {path: _tail(below.get(middle, middle)) for path, middle in normal.items()}


def _tail(path: str) -> str:
    return "/".join(["...", *PurePosixPath(path).parts[1:][-_KEPT_PARTS:]]) if is_absolute(path) else path


def _below_common_roots(a: set[str], b: set[str]) -> tuple[dict[str, str], dict[str, str]]:
    open_a, open_b = a - b, b - a
    below_a: dict[str, str] = {}
    below_b: dict[str, str] = {}
    while votes := _votes(open_a, open_b):
        # Sorted, so that the sides may be exchanged: the same two roots win a tie.
        root_a, root_b = max(votes, key=lambda roots: (votes[roots], sorted(roots), roots[0] <= roots[1]))
        for root, names, still_open in ((root_a, below_a, open_a), (root_b, below_b, open_b)):
            inside = {path: path[len(root) :] for path in still_open if path.startswith(root)} if root else {}
            names |= inside
            still_open.difference_update(inside)
        # A file that was relative from the start is matched by name, no more to be voted on.
        open_a, open_b = open_a - set(below_b.values()), open_b - set(below_a.values())
    return below_a, below_b


def _votes(open_a: set[str], open_b: set[str]) -> dict[tuple[str, str], int]:
    """Return for how many pairs of files each two roots, with their slash, would make the paths equal."""
    by_name: dict[str, list[str]] = {}
    for path in open_b:
        by_name.setdefault(path.rpartition("/")[2], []).append(path)
    votes: dict[tuple[str, str], int] = {}
    for path_a in open_a:
        for path_b in by_name.get(path_a.rpartition("/")[2], ()):
            roots = _roots(path_a, path_b)
            if roots is not None:
                votes[roots] = votes.get(roots, 0) + 1
    return votes


def _roots(path_a: str, path_b: str) -> tuple[str, str] | None:
    parts_a, parts_b = path_a.split("/"), path_b.split("/")
    common = 0
    while common < min(len(parts_a), len(parts_b)) and parts_a[-1 - common] == parts_b[-1 - common]:
        common += 1
    if common == 1 and parts_a[-1].startswith("__"):
        return None  # every package has an __init__.py
    length = sum(map(len, parts_a[-common:])) + common - 1
    roots = path_a[:-length], path_b[:-length]
    whole = all(root == "" or is_absolute(root) for root in roots)
    return roots if whole and any(roots) else None
