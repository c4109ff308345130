"""The same rows in many storages: a tag of 12 characters (160 rows share one), x, y, z and a weight.

KINDS names them. Each makes its records of the tags (n bytes), the numbers (n x 4 float64, in the order of NAMES) and a
file that it may fill; and reads places (a list of int) of them as (tags, x), which are str or bytes, and floats.
"""

import functools
import sqlite3

import numpy as np
import torch

GROUP = 160
NAMES = ["x", "y", "z", "weight"]


def table(n):
    """Return the tags and numbers of n rows; multiples of 1/8, which float32 holds exactly."""
    numbers = np.random.default_rng(0).integers(-800, 800, (n, 4)) / 8
    return np.char.mod(b"%012d", np.arange(n) // GROUP), numbers


def nothing(tags, numbers, file):
    return None


def list_of_str(tags, numbers, file):
    return [f"{tag.decode()},{x},{y},{z},{w}" for tag, (x, y, z, w) in zip(tags, numbers, strict=True)]


def read_list_of_str(records, places):
    cells = [records[i].split(",") for i in places]
    return [row[0] for row in cells], [float(row[1]) for row in cells]


def list_of_dict(tags, numbers, file):
    rows = zip(tags, numbers, strict=True)
    return [{"tag": tag.decode()} | dict(zip(NAMES, xyzw.tolist(), strict=True)) for tag, xyzw in rows]


def read_list_of_dict(records, places):
    rows = [records[i] for i in places]
    return [row["tag"] for row in rows], [row["x"] for row in rows]


def frame(tags, numbers, file, dtype, names=NAMES, floats="f8"):
    """A DataFrame; `dtype` is that of the tags."""
    import pandas

    columns = {name: numbers[:, NAMES.index(name)].astype(floats) for name in names}
    return pandas.DataFrame({"tag": column(tags, dtype)} | columns)


def column(tags, dtype):
    """The tags for a DataFrame, made without a str for each where none is kept."""
    import pandas

    if dtype == "category":
        return pandas.Categorical.from_codes(np.arange(len(tags)) // GROUP, tags[::GROUP].astype("U"))
    if dtype in ("str", "str, two chunks"):
        import pyarrow

        parts = [tags] if dtype == "str" else np.array_split(tags, 2)
        chunks = [pyarrow.array(part, "large_binary").cast("large_string") for part in parts]
        return pandas.StringDtype("pyarrow", np.nan).__from_arrow__(pyarrow.chunked_array(chunks))
    dtype = pandas.StringDtype("python", np.nan) if dtype == "str in objects" else dtype
    return pandas.Series(tags.astype("U").tolist(), dtype=dtype)


def read_frame(records, places):
    rows = records.iloc[places]
    return rows["tag"], rows["x"]


def groups(tags, numbers, file):
    return dict(iter(frame(tags, numbers, file, "category").groupby("tag", observed=True)))


def read_groups(records, places):
    tags = [f"{i // GROUP:012d}" for i in places]
    return tags, [records[tag]["x"].iat[i % GROUP] for tag, i in zip(tags, places, strict=True)]


def structured(tags, numbers, file):
    return np.rec.fromarrays([tags, *numbers.T], names=["tag", *NAMES]).view(np.ndarray)


def memmap(tags, numbers, file):
    np.save(file, structured(tags, numbers, file))
    return np.load(f"{file}.npy", mmap_mode="r")


def read_structured(records, places):
    rows = records[places]
    return rows["tag"], rows["x"]


def tensors(tags, numbers, file):
    return torch.from_numpy(tags.view("u1").reshape(len(tags), -1).copy()), torch.from_numpy(numbers)


def shared_tensors(tags, numbers, file):
    return tuple(tensor.share_memory_() for tensor in tensors(tags, numbers, file))


def read_tensors(records, places):
    tags, numbers = records
    return tags[places].numpy().view("S12").ravel(), numbers[places, 0].tolist()


def packed(tags, numbers, file):
    """Strings of any lengths: the bytes of all of them, and where each begins."""
    offsets = np.cumsum([0, *map(len, tags)])
    return torch.frombuffer(bytearray(b"".join(tags)), dtype=torch.uint8), torch.from_numpy(offsets), numbers


def shared_packed(tags, numbers, file):
    return tuple(torch.as_tensor(part).share_memory_() for part in packed(tags, numbers, file))


def read_packed(records, places):
    characters, offsets, numbers = map(np.asarray, records)
    return [characters[offsets[i] : offsets[i + 1]].tobytes() for i in places], numbers[places, 0]


def sqlite(tags, numbers, file):
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, tag TEXT, x REAL, y REAL, z REAL, weight REAL)")
        rows = ((i, tag.decode(), *xyzw.tolist()) for i, (tag, xyzw) in enumerate(zip(tags, numbers, strict=True)))
        database.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", rows)
    return str(file)


connected = functools.cache(sqlite3.connect)  # in the workers alone: a connection must not cross a fork


def read_sqlite(records, places):
    query = "SELECT tag, x FROM rows WHERE id = ?"
    return zip(*(connected(records).execute(query, (i,)).fetchone() for i in places), strict=True)


KINDS = {
    "nothing": (nothing, lambda records, places: ((), ())),
    "list of str": (list_of_str, read_list_of_str),
    "list of dict": (list_of_dict, read_list_of_dict),
    "dict of groups": (groups, read_groups),
    "pandas object": (functools.partial(frame, dtype=object), read_frame),
    "pandas str in objects": (functools.partial(frame, dtype="str in objects"), read_frame),
    "pandas str": (functools.partial(frame, dtype="str"), read_frame),
    "pandas str, two chunks": (functools.partial(frame, dtype="str, two chunks"), read_frame),
    "pandas categorical": (functools.partial(frame, dtype="category"), read_frame),
    "categorical, no weight": (functools.partial(frame, dtype="category", names=NAMES[:3]), read_frame),
    "categorical, no weight, float32": (
        functools.partial(frame, dtype="category", names=NAMES[:3], floats="f4"),
        read_frame,
    ),
    "numpy": (structured, read_structured),
    "torch": (tensors, read_tensors),
    "torch, share_memory_()": (shared_tensors, read_tensors),
    "torch, bytes + offsets": (packed, read_packed),
    "torch, bytes + offsets, share_memory_()": (shared_packed, read_packed),
    "memmap": (memmap, read_structured),
    "SQLite": (sqlite, read_sqlite),
}
