"""After a warm-up no kernel has to be compiled."""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
import pytest

import elunet as eln
from elunet import kernels

FLOAT32_ONLY = ("winograd", np.float64)  # float64 never takes this way


def compiled(dtype: type) -> dict[str, int]:
    """Return how many versions of each kernel this process has."""
    counts = {}
    for module in pkgutil.iter_modules(kernels.__path__):
        content = vars(importlib.import_module(f"elunet.kernels.{module.name}"))
        for name, value in content.items():
            if name.startswith("_") or not hasattr(value, "nopython_signatures"):
                continue  # a kernel that only others call is part of them
            if (module.name, dtype) != FLOAT32_ONLY:
                counts[f"{module.name}.{name}"] = len(value.nopython_signatures)
    return counts


@pytest.mark.jit
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_compiles_every_kernel_that_a_training_step_needs(dtype):
    eln.warmup(dtype)
    before = compiled(dtype)
    assert all(before.values()), before
    net = eln.models.elu11(widths=(4,) * 10, pool="mean")
    for model in (net, eln.models.elu11(widths=(4,) * 10)):
        logits = model.forward(np.ones((3, 32, 32, 3), dtype), train=True)
        loss = eln.losses.SoftmaxCrossEntropy()
        loss(logits, np.full((3, 10), 0.1))
        _, dy = loss(logits, np.zeros(3, int))
        model.backward(dy)
        if dtype is np.float32:  # the parameters'
            eln.optim.SGD(0.1, momentum=0.9, clip_norm=1.0).step(model)
    assert compiled(dtype) == before


def test_another_dtype_is_refused():
    with pytest.raises(ValueError, match="warmup: expected dtype float32 or float64"):
        eln.warmup(np.float16)
