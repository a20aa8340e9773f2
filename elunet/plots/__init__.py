"""Pictures of runs, rules and networks, as figures for a notebook, a file or a window of one's own.

Every function returns a matplotlib figure that no window knows of, and saves it if it is given a
`file`. Lines are told apart by marker and dashes as well as by color, and colors are safe for
people with a color vision deficiency. matplotlib is imported at the first picture.
"""

from elunet.plots.alignment import angle_curves, angles
from elunet.plots.comparison import accuracies, sweeps
from elunet.plots.confusions import confusion
from elunet.plots.graph import network_graph
from elunet.plots.learning import compare_curves, curves
from elunet.plots.pictures import filters, input_gradient, saliency
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
