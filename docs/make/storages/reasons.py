"""Why each storage costs what it does, in the order of the page; the names are those of examples/storages/kinds.py."""

REASONS = {
    "nothing": "The floor of every row: what a worker writes to anyway, modules and its own heap.",
    "list of str": (
        "Each string is an object, and reading one writes its reference count into it, on a page it shares with some "
        "thirty others. A worker that has read a few in a hundred of the rows holds a copy of nearly all pages."
    ),
    "list of dict": (
        "As above, for a dict, a string and four floats per row, each an object of its own: the largest storage, and "
        "nearly as much again in every worker."
    ),
    "dict of groups": (
        "12,500 DataFrames, each a dozen Python objects whose counts are written at every look-up. Their arrays are "
        "small enough to lie on the same pages, and are copied along."
    ),
    "pandas object": "The tags are a list of str behind a column; the four columns of numbers stay shared.",
    "pandas str in objects": (
        'What dtype "str" means in pandas 3 where pyarrow is not installed: the same Python objects as before.'
    ),
    "pandas str": (
        "With pyarrow the column is one buffer of characters and one of offsets: no objects, nothing is written. What "
        "a worker adds, as for every frame below, is the heap of pandas."
    ),
    "pandas str, two chunks": (
        "As a column comes from pandas.concat, or from a Parquet file with several row groups. To take rows of it, the "
        "chunks are first put together: each worker comes to hold a copy of the whole column, whichever rows it reads."
    ),
    "pandas categorical": "Small integers in one buffer; only the 12,500 categories are objects.",
    "categorical, no weight": "A column less, which every process shares anyway: it is main that shrinks.",
    "categorical, no weight, float32": "Half the bytes in main. The workers copy nothing of the numbers either way.",
    "numpy": "One buffer. Reading a row makes a new object in the worker's own heap, and leaves the buffer alone.",
    "torch": (
        "As NumPy, under fork. Under forkserver the pickler of torch.multiprocessing moves tensors into shared memory "
        "while it hands them over, so that all workers map the same pages."
    ),
    "torch, share_memory_()": "Moved there beforehand: of no use under fork, whose pages are shared until written to.",
    "torch, bytes + offsets": (
        "Strings of any lengths without objects: their bytes in one buffer, where each begins in another. The numbers "
        "are a NumPy array here, which forkserver copies to each worker, as it does all that are not tensors."
    ),
    "torch, bytes + offsets, share_memory_()": "All of it in shared memory: the same under fork and forkserver.",
    "memmap": (
        "Pages of the file cache, mapped by all and dropped where memory is short; in PSS as far as they were read, "
        "once. np.memmap is pickled as an array, whole: under forkserver hand the path to the workers, not the map."
    ),
    "SQLite": (
        "Opened in the worker, by its path; a page cache of 2 MB for each connection. The kernel's cache of the file "
        "belongs to no process, and is in no PSS."
    ),
}
