"""Types of the C extension that csrc/build_voxelizer.py builds from csrc/voxelizer.cdef.h."""

from typing import Any

class _FFI:
    NULL: Any
    def string(self, cdata: Any, /) -> bytes: ...
    def new(self, cdecl: Any, init: Any, /) -> Any: ...
    def typeof(self, cdecl: str, /) -> Any: ...
    def from_buffer(self, cdecl: Any, python_buffer: object, require_writable: bool = ..., /) -> Any: ...

class _Lib:
    VOXELIZER_FINE: int
    VOXELIZER_NO_MEMORY: int
    VOXELIZER_NO_KERNEL: int
    VOXELIZER_OVERLAP: int
    def voxelizer_kernel_name(self, index: int, /) -> Any: ...
    def voxelizer_kernel_is_supported(self, index: int, /) -> int: ...
    def voxelizer_use_kernel(self, index: int, /) -> int: ...
    def voxelizer_kernel_in_use(self) -> int: ...
    def voxelizer_fill(
        self,
        n_atoms: int,
        coords_A: Any,
        radii_A: Any,
        channel_masks: Any,
        occupancies: Any,
        n_channels: int,
        is_max: bool,
        length_voxels: int,
        resolution_A: float,
        center_x_A: float,
        center_y_A: float,
        center_z_A: float,
        fill: int,
        is_float32_maths: bool,
        image: Any,
        is_float64: bool,
        /,
    ) -> int: ...
    def voxelizer_fill_views(
        self,
        n_views: int,
        views: Any,
        channel_masks: Any,
        radii_A: Any,
        may_drop: bool,
        max_radius_A: float,
        n_channels: int,
        is_max: bool,
        length_voxels: int,
        resolution_A: float,
        center_x_A: float,
        center_y_A: float,
        center_z_A: float,
        fill: int,
        is_float32_maths: bool,
        images: Any,
        is_float64: bool,
        /,
    ) -> int: ...
    def voxelizer_crowd(self, structure: Any, n_places: int, places_A: Any, radius_A: float, counts: Any, /) -> int: ...

ffi: _FFI
lib: _Lib
