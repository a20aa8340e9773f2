"""Instance normalization: each channel of each image is centered and scaled by itself."""

from __future__ import annotations

from elunet._types import Shape
from elunet.layers._grouped import Grouped, positions


class InstanceNorm(Grouped):
    """Instance normalization: ``y = (x - mean) / sqrt(var + eps)``, by channel and by image.

    Mean and variance are those of a channel over the positions of one image, in training and
    evaluation alike.

    Parameters
    ----------
    channels : int
        Length C of the last axis.
    affine : bool, default False
        Whether y is multiplied by a parameter "gamma" and "beta" is added, both of shape (C,).
    eps : float, default 1e-5
        Added to the variance; above 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; in `forward`, if x does not fit, or an image has less than
        two positions.

    References
    ----------
    Ulyanov, Vedaldi, Lempitsky, "Instance Normalization: The Missing Ingredient for Fast
    Stylization", arXiv:1607.08022.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import InstanceNorm
    >>> x = np.array([[1.0, 50.0], [3.0, 10.0]]).reshape(1, 2, 1, 2)
    >>> InstanceNorm(2).forward(x).reshape(2, 2).round(3)
    array([[-1.,  1.],
           [ 1., -1.]])
    """

    def __init__(self, channels: int, affine: bool = False, eps: float = 1e-5) -> None:
        super().__init__(channels, affine, eps)

    def grouped(self, shape: Shape) -> Shape:
        """Return (N, H W, C, 1)."""
        return shape[0], positions(shape), self.channels, 1

    def __repr__(self) -> str:
        return f"InstanceNorm({self.channels}{', affine=True' if self.affine else ''})"
