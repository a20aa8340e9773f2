"""The kernels in NumPy alone: the same functions by the same names, in files of the same names.

They run where numba is missing, as in a browser, or where ``ELUNET_KERNELS=plain`` asks for them.
They are also the readable form of each kernel, and what the compiled ones are tested against.
Arguments, shapes and what is written are those of the kernel of that name.

A number does not depend on what else is computed in the same call, as with compiled kernels: an
image alone, or some rows of it, give the same bits as the whole batch.
"""
