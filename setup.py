"""What pyproject.toml cannot say: the cffi extension, and one wheel for all Pythons from 3.10 on."""

from setuptools import setup

setup(
    cffi_modules=["csrc/build_voxelizer.py:ffi"],
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
