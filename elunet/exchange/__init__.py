"""Export and import of weights (PyTorch, Keras), and of whole networks (ONNX).

Weights are exchanged as NumPy arrays, so PyTorch and Keras need not be installed. Both lay the same
numbers out differently; only this package knows how. `to_onnx` and `from_onnx` import the package
onnx when they are called.
"""

from elunet.exchange._keras import from_keras, keras_names, to_keras
from elunet.exchange._onnx import OnnxGraph, to_onnx
from elunet.exchange._onnx_import import from_onnx
from elunet.exchange._torch import from_torch, to_torch, torch_names

__all__ = [
    "OnnxGraph",
    "from_keras",
    "from_onnx",
    "from_torch",
    "keras_names",
    "to_keras",
    "to_onnx",
    "to_torch",
    "torch_names",
]
