"""Designs in which people write layers, networks, losses and optimizers, each right and wrong.

The flag `wrong` puts a factor on one gradient. Every check takes two lines at most.
"""

from testing.designs import functions, holders, layers, networks, optimizers, sequences
from testing.designs.design import Design

DESIGNS = [
    *layers.LAYERS,
    *holders.HOLDERS,
    *sequences.SEQUENCES,
    *functions.FUNCTIONS,
    *networks.NETWORKS,
    *optimizers.OPTIMIZERS,
]

__all__ = ["DESIGNS", "Design"]
