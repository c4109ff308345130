"""What objects of NumPy, torch and Arrow hold, which the garbage collector cannot see.

These functions run in the throw-away child alone. Each calls what its library wrote in C for its own type, never an
attribute that a subclass of the user may have replaced, and returns the blocks that belong to the object, the objects
it holds, and where rows of pointers to objects lie (walking.Payload).
"""

import array
import sys
from collections.abc import Callable
from typing import Any

Block = tuple[int, int]
Payload = tuple[tuple[Block, ...], tuple[Any, ...], tuple[tuple[int, int, int], ...]]
NOTHING: Payload = ((), (), ())


def payload_functions() -> dict[type, Callable[[Any], Payload]]:
    """Return the functions for the types of those libraries that the target has imported."""
    functions: dict[type, Callable[[Any], Payload]] = {array.array: _of_array_module}
    for name, add in (("numpy", _add_numpy), ("torch", _add_torch), ("pyarrow", _add_pyarrow)):
        module = sys.modules.get(name)
        try:
            if module is not None:
                add(module, functions)
        except (
            Exception
        ):  # half imported, or of a version that is laid out otherwise: its objects count without buffers
            continue
    return functions


def _of_array_module(value: Any) -> Payload:
    address, length = array.array.buffer_info(value)
    return ((address, length * value.itemsize),), (), ()


def _add_numpy(numpy: Any, functions: dict[type, Callable[[Any], Payload]]) -> None:
    fields = {name: numpy.ndarray.__dict__[name].__get__ for name in ("__array_interface__", "base", "nbytes", "flags")}
    dtype_of = numpy.ndarray.__dict__["dtype"].__get__
    size_of = numpy.ndarray.__dict__["size"].__get__

    def payload(value: Any) -> Payload:
        interface, base = fields["__array_interface__"](value), fields["base"](value)
        address = interface["data"][0]
        blocks = ((address, fields["nbytes"](value)),) if base is None else ()
        objects = () if base is None else (base,)
        if dtype_of(value).kind != "O":
            return blocks, objects, ()
        if fields["flags"](value).forc:
            return blocks, objects, ((address, size_of(value), 8),)
        is_row = len(interface["shape"]) == 1
        return blocks, objects, ((address, interface["shape"][0], interface["strides"][0]),) if is_row else ()

    functions[numpy.ndarray] = payload


def _add_torch(torch: Any, functions: dict[type, Callable[[Any], Payload]]) -> None:
    without_subclasses = torch._C.DisableTorchFunctionSubclass

    def payload(value: Any) -> Payload:
        with without_subclasses():
            if value.device.type != "cpu" or value.layout is not torch.strided:
                return NOTHING
            storage = value.untyped_storage()
            return ((storage.data_ptr(), storage.nbytes()),), (), ()

    functions[torch.Tensor] = payload


def _add_pyarrow(pyarrow: Any, functions: dict[type, Callable[[Any], Payload]]) -> None:
    def of_array(value: Any) -> Payload:
        held = (value.dictionary,) if isinstance(value, pyarrow.DictionaryArray) else ()
        buffers = (buffer for buffer in value.buffers() if buffer is not None and buffer.is_cpu)
        return tuple((buffer.address, buffer.size) for buffer in buffers), held, ()

    functions[pyarrow.Buffer] = lambda value: (((value.address, value.size),) if value.is_cpu else (), (), ())
    functions[pyarrow.Array] = of_array
    functions[pyarrow.ChunkedArray] = lambda value: ((), tuple(value.chunks), ())
    functions[pyarrow.Table] = lambda value: ((), tuple(value.columns), ())
    functions[pyarrow.RecordBatch] = lambda value: ((), tuple(value.columns), ())
