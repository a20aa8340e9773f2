"""Exercise 2: Concat, arrays side by side."""

import numpy as np


class Concat:
    """Joins arrays along their last axis."""

    def forward(self, x):
        """Return the arrays of the tuple x joined."""
        self.places = np.cumsum([array.shape[-1] for array in x])[:-1]
        return np.concatenate(x, axis=-1)

    def backward(self, dy):
        """Return a tuple of gradients, one for each array of x."""
        return tuple(part.copy() for part in np.split(dy, self.places, axis=-1))
