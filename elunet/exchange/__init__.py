"""Export and import of weights (PyTorch, Keras), and export of whole networks (ONNX).

Weights are exchanged as NumPy arrays, so PyTorch and Keras need not be installed. Both lay the same
numbers out differently; only this package knows how. `to_onnx` imports the package onnx when it is
called.
"""

from elunet.exchange._keras import from_keras, keras_names, to_keras
from elunet.exchange._onnx import OnnxGraph, to_onnx
from elunet.exchange._torch import from_torch, to_torch, torch_names

__all__ = [
    "OnnxGraph",
    "from_keras",
    "from_torch",
    "keras_names",
    "to_keras",
    "to_onnx",
    "to_torch",
    "torch_names",
]
