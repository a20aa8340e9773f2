"""What PyTorch's own samples need: its tests' package, and double and single precision."""

from __future__ import annotations

import sys
import types
import unittest

import torch

DTYPES = [torch.float64, torch.float32]


def importable() -> None:
    """Let PyTorch's package of tests be imported.

    It takes the package expecttest for its own test class, which the samples do not need.
    """
    try:
        import expecttest  # noqa: F401
    except ImportError:
        stub = types.ModuleType("expecttest")
        stub.TestCase = unittest.TestCase
        stub.ACCEPT = False
        sys.modules["expecttest"] = stub
