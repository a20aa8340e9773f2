"""Plots of training runs, learning rules and networks.

Every function returns a matplotlib figure without a window, for a notebook or your own program, and
saves it if you give a `file`. Lines differ by marker and dashes as well as by color, and the colors
are safe for people with a color vision deficiency. matplotlib is imported at the first plot.
"""

from elunet.plots.alignment import angle_curves, angles
from elunet.plots.comparison import accuracies, sweeps
from elunet.plots.confusions import confusion
from elunet.plots.graph import network_graph
from elunet.plots.images import filters, input_gradient, saliency
from elunet.plots.learning import compare_curves, curves
from elunet.plots.units import activations, mean_activations, unit_means

__all__ = [
    "accuracies",
    "activations",
    "angle_curves",
    "angles",
    "compare_curves",
    "confusion",
    "curves",
    "filters",
    "input_gradient",
    "mean_activations",
    "network_graph",
    "saliency",
    "sweeps",
    "unit_means",
]
