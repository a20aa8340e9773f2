"""PyTorch's samples for operators (op_db), computed by elunet's layers and losses."""

from __future__ import annotations

import warnings
from itertools import islice

import torch

from peers.counting import Counts
from peers.torch_samples import DTYPES, importable
from peers.torch_twins import TWINS


def run(counts: Counts, first: int | None = None, dtypes=DTYPES) -> None:
    """Count the (first) samples of operators that elunet has; one for each other operator."""
    importable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db

        for op in op_db:
            if op.name not in TWINS:
                counts.missing["other operators", "no layer or loss"] += 1
                continue
            for dtype in dtypes:
                if dtype not in op.dtypes:
                    continue
                torch.manual_seed(0)
                samples = op.sample_inputs("cpu", dtype, requires_grad=True)
                for sample in islice(samples, first):
                    name = f"{dtype} {sample.summary()}"[:200]
                    counts.take(op.name, name, lambda op=op, sample=sample: check(op, sample))


def check(op, sample) -> None:
    """Compare an operator's result and its gradients."""
    TWINS[op.name](sample.input, *sample.args, **sample.kwargs).check(
        lambda: op(sample.input, *sample.args, **sample.kwargs)
    )
