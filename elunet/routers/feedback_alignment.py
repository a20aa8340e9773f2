"""Feedback alignment: the error is sent back through a fixed random matrix, not W transposed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elunet._checks import plain
from elunet._quiet import quiet
from elunet._types import Array
from elunet.init import Initializer
from elunet.layers.base import Layer
from elunet.network import Network
from elunet.routers.random_router import RandomRouter, given


class FeedbackAlignment(RandomRouter):
    """Send ``delta B^T`` (for convolutions, the transposed convolution with B), B fixed and random.

    That it learns at all shows that backpropagation's weight transport is not needed: W turns
    until the angle between the two signals is below 90 degrees.

    Parameters
    ----------
    seed : int, default 0
        Of the matrices that are not given. Each depends on the seed and its layer's name only.
    B : dict of str to array, optional
        Matrices by layer name, of W's shape; they are copied.
    distribution : Initializer, optional
        Draws the others, by default what drew the layer's W: the layer's ``init``, or
        `elunet.init.He()` if it has none. The article's is ``Uniform(-0.5, 0.5)``; publications
        differ here, and the scale matters.
    scale : float, default 1.0
        A factor of what is drawn.

    Attributes
    ----------
    B : dict of str to array
        All matrices in use, by layer name; a layer's appears at its first backward pass. The
        layers that nothing below learns from have none.

    Raises
    ------
    TypeError, ValueError
        If `seed` is not an integer of at least 0; in `backward`, if a matrix does not have its W's
        shape (the layer is named) or is for a layer that is not there.

    Notes
    -----
    The output layer's own gradient is exact, and so are the Jacobians of activations and pooling.

    References
    ----------
    Lillicrap, Cownden, Tweed, Akerman, "Random synaptic feedback weights support error
    backpropagation for deep learning", Nature Communications 7, 2016, 10.1038/ncomms13276.

    Examples
    --------
    >>> import elunet as eln
    >>> router = eln.routers.FeedbackAlignment(seed=1, distribution=eln.init.Uniform(-0.5, 0.5))
    """

    def __init__(
        self,
        seed: int = 0,
        B: Mapping[str, Array] | None = None,
        distribution: Initializer | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__(seed, distribution, scale)
        self.drawn = {
            name: plain("FeedbackAlignment", f"B of {name}", matrix).copy()
            for name, matrix in (B or {}).items()
        }

    @property
    def B(self) -> dict[str, Array]:  # noqa: N802 - a matrix's name
        """All matrices in use, by layer name."""
        return self.drawn

    @quiet
    def begin(self, net: Network, dy: Array | tuple[Array, ...], target: Array | None) -> None:
        """Check that every matrix has a layer, and its W's shape."""
        nodes = self.graph(net).nodes
        for name, B in self.B.items():
            node = nodes.get(name)
            if node is None or node.shared or not node.layer.weighted:
                weighted = [node.name for node in net.homes if node.layer.weighted]
                raise ValueError(
                    f"FeedbackAlignment: expected B for layers among {weighted}, got {name!r}"
                )
            shape = node.layer.params["W"].shape
            if np.shape(B) != shape:
                raise ValueError(
                    f"FeedbackAlignment: expected B of {name} with W's shape {shape},"
                    f" got {np.shape(B)}"
                )

    def weight(self, layer: Layer) -> Array:
        """Return B."""
        return self.matrix(self.node_of(layer).home, layer.params["W"].shape)

    def __repr__(self) -> str:
        return f"FeedbackAlignment(seed={self.seed}{given(self)})"
