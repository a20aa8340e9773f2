"""The zoo: layers, losses and optimizers with one bug each, of the kind that people make.

Each mutant says what is wrong, how that shows in training and which check catches it:
``print(mutants.layers()[0])``. There is no list to keep up to date: a mutant is any class with an
`example` in one of the zoo's files (`_weighted`, `_activations`, `_smooth`, `_pooling`,
`_regularizers`, `_blocks`, `_losses`, `_optimizers`). `mutant_of` makes one of a custom class.
"""

from elunet.teaching.mutants._mutant import Example, Mutant, layer_example, mutant_of
from elunet.teaching.mutants._zoo import all, layers, losses, optimizers

__all__ = [
    "Example",
    "Mutant",
    "all",
    "layer_example",
    "layers",
    "losses",
    "mutant_of",
    "optimizers",
]
