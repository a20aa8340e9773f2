"""Loops over numbers: functions from arrays to arrays, which know nothing of layers.

Each works on the images or rows that it is given and writes into an array that it is given, so a
caller decides about memory and threads. Shapes are checked by the callers: a compiled kernel that
writes past an array's end does so silently.

numba compiles them. Each has a twin in NumPy in `elunet.kernels.plain`, for systems without numba.
"""

from elunet.kernels._jit import PLAIN

if not PLAIN:
    import elunet.kernels._intrinsics  # noqa: F401  (what compiled kernels are made of)
