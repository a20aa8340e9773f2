"""One training over several processes, each with some rows of every batch, over an existing MPI."""

from elunet.distributed.group import Group

__all__ = ["Group"]
