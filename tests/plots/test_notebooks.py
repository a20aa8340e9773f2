"""Every figure is an image in a notebook, and one only, whether pyplot was imported or not."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

import elunet as eln

WIDGET = "application/vnd.jupyter.widget-view+json"
SETUP = """
import sys
import numpy as np
import elunet as eln
from elunet.experiments import Alignment, Trial
x, y = eln.data.make_shapes(20, seed=0)
x = eln.data.standardize(x)
net = eln.models.small_cnn(widths=(2, 2, 2), seed=0)
epochs = [(k, 5 * k, 0.1, 1 / k, 0.4, 1.2 / k, 0.5, 0.6, 8.0, 6.0) for k in (1, 2)]
history = eln.History([eln.Epoch(*epoch) for epoch in epochs])
rows = [Alignment(0, s, "conv1", "gradient", 80.0 - s, 1.3, 84.0, 97.1) for s in (0, 1)]
from pathlib import Path
trials = [Trial(stage, "fa", 0.1, 0, 1.2, 0.55, 0.5, 0.52, 0, 9.0) for stage in ("sweep", "final")]
result = eln.Comparison(("fa",), (0.1,), trials, Path())
None
"""
CALLS = {
    "accuracies": "eln.plots.accuracies(result)",
    "activations": "eln.plots.activations()",
    "angle_curves": "eln.plots.angle_curves(rows)",
    "angles": "eln.plots.angles(rows)",
    "compare_curves": "eln.plots.compare_curves({'a': history})",
    "confusion": "eln.plots.confusion(y % 3, y % 3)",
    "curves": "eln.plots.curves(history)",
    "filters": "eln.plots.filters(net)",
    "mean_activations": "eln.plots.mean_activations({'a': {1: eln.plots.unit_means(net, x)}})",
    "network_graph": "eln.plots.network_graph(net)",
    "saliency": "eln.plots.saliency(net, x[:2])",
    "sweeps": "eln.plots.sweeps(result)",
}
PYPLOT = {
    "no pyplot": "assert 'matplotlib.pyplot' not in sys.modules",
    "inline": "%matplotlib inline\nimport matplotlib.pyplot",
}


def test_every_plot_is_here():
    assert set(CALLS) == set(eln.plots.__all__) - {"input_gradient", "unit_means"}  # these are data


def test_a_figure_is_a_png():
    figure = eln.plots.filters(np.zeros((3, 3, 3, 4)))
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("way", PYPLOT)
def test_each_plot_shows_one_image(way):
    pytest.importorskip("ipykernel")
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    cells = [nbformat.v4.new_code_cell(code) for code in (SETUP, PYPLOT[way], *CALLS.values())]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    for name, cell in zip(CALLS, notebook.cells[2:], strict=True):
        images = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(images) == len(cell.outputs) == 1, (name, cell.outputs)


def test_training_says_something_in_a_notebook():
    pytest.importorskip("ipykernel")
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    code = "trainer = eln.Trainer(net, eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.01))\n"
    code += "trainer.fit((x, y), epochs=2);"
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, (SETUP, code))))
    client.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = notebook.cells[1].outputs
    if importlib.util.find_spec("ipywidgets") is None:
        texts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in outputs]
        assert "epoch 2/2" in "".join(texts)
    else:
        bars = [out for out in outputs if WIDGET in out.get("data", {})]
        assert len(bars) == 1
    assert all(out.get("name") != "stderr" for out in outputs)
