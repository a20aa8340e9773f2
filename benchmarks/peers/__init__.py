"""The libraries that are compared, one file each, and what each of them can do.

A file's ``build(work, threads, variant)`` makes the work's network from its description, with the
weights that are everybody's, and returns what runs it. A file is imported where its library is
measured, so that such a process never loads another library.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from works import Work


@dataclass(frozen=True)
class Built:
    """A network, ready to run.

    Attributes
    ----------
    step : callable
        One train step or one inference on the work's batch, which is over when it returns.
    predict : callable
        Returns the batch's logits as a NumPy array, as in inference.
    parameters : int
    """

    step: Callable[[], Any]
    predict: Callable[[], Any]
    parameters: int


@dataclass(frozen=True)
class Peer:
    """A library in one of the ways in which it is used.

    Attributes
    ----------
    label : str
    module : str
        Its file.
    packages : tuple of str
        What has to be installed.
    variant : str
        Which way.
    trains : bool
    """

    label: str
    module: str
    packages: tuple[str, ...]
    variant: str = ""
    trains: bool = True

    def takes(self, work: Work) -> bool:
        """Return whether it is measured with this work."""
        images = len(work.network.input) == 3
        if self.module == "plain_numpy" and images:
            return False
        if self.variant == "channels_last" and not images:
            return False
        if self.variant == "after PyTorch" and work.key != "elu11-train-100":
            return False
        return self.trains or work.phase == "inference"

    def build(self, work: Work, threads: int) -> Built:
        """Return the work's network."""
        module = importlib.import_module(f"peers.{self.module}")
        built: Built = module.build(work, threads, self.variant)
        return built


ELUNET = Peer("elunet", "ours", ("elunet",))
PEERS = (
    ELUNET,
    Peer("elunet after PyTorch", "ours", ("elunet", "torch"), "after PyTorch"),
    Peer("NumPy", "plain_numpy", ("numpy",)),
    Peer("PyTorch", "pytorch", ("torch",), "eager"),
    Peer("PyTorch channels_last", "pytorch", ("torch",), "channels_last"),
    Peer("PyTorch compile", "pytorch", ("torch",), "compile"),
    Peer("Keras, TensorFlow", "keras_tensorflow", ("tensorflow", "keras"), "graph"),
    Peer("Keras, TensorFlow XLA", "keras_tensorflow", ("tensorflow", "keras"), "xla"),
    Peer("JAX", "jax_jit", ("jax",)),
    Peer("OpenVINO", "runtimes", ("openvino", "onnx"), "openvino", trains=False),
    Peer("ONNX Runtime", "runtimes", ("onnxruntime", "onnx"), "onnxruntime", trains=False),
)
