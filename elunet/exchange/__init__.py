"""Weights to and from PyTorch and Keras, and whole networks to ONNX.

The other libraries need not be there for their weights: arrays go out and come in. They lay the
same numbers out differently, and here alone is written how. Only `to_onnx` imports a package of
its own, onnx, when it is called.
"""

from elunet.exchange._keras import from_keras, to_keras
from elunet.exchange._onnx import OnnxGraph, to_onnx
from elunet.exchange._torch import from_torch, to_torch, torch_names

__all__ = [
    "OnnxGraph",
    "from_keras",
    "from_torch",
    "to_keras",
    "to_onnx",
    "to_torch",
    "torch_names",
]
