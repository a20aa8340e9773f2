"""ONNX files that Keras writes, read by elunet: the network predicts what Keras' model predicts."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from elunet.exchange import from_onnx
from peers.keras_files import NAMES

NEEDED = {
    "torch": ["keras", "torch", "onnx"],
    "tensorflow": ["keras", "tensorflow", "tf2onnx", "onnx"],
    "jax": ["keras", "jax", "jax2onnx", "onnx"],
}
NOT_READ = {  # JAX writes pooling as windows over six axes, and ReLU6 as Max and Min
    ("jax", "lenet"): "Unsqueeze",
    ("jax", "vgg"): "Unsqueeze",
    ("jax", "separable"): "Max",
}


@cache
def exported(backend, folder):
    """Return a message if Keras' exporter failed, else ''."""
    script = Path(__file__).parent / "keras_files.py"
    done = subprocess.run(
        [sys.executable, script, backend, folder], capture_output=True, text=True, check=False
    )
    return done.stderr if done.returncode else ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("keras")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", NEEDED)
def test_keras_files_predict_the_same(backend, name, folder):
    missing = [each for each in NEEDED[backend] if importlib.util.find_spec(each) is None]
    if missing:
        pytest.skip(f"it takes {' and '.join(missing)}")
    here = folder / backend
    here.mkdir(exist_ok=True)
    error = exported(backend, here)
    assert not error, error
    if (backend, name) in NOT_READ:
        with pytest.raises(ValueError, match=f"from_onnx: .* got {NOT_READ[backend, name]}"):
            from_onnx(here / f"{name}.onnx")
        return
    given = np.load(here / f"{name}.npz")
    y = from_onnx(here / f"{name}.onnx")(given["x"])
    np.testing.assert_allclose(y, given["y"], rtol=1e-4, atol=1e-5)
