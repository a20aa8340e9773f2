"""Group normalization: groups of an image's channels are centered and scaled together."""

from __future__ import annotations

from elunet._checks import integer
from elunet._types import Shape
from elunet.layers._grouped import Grouped, positions


class GroupNorm(Grouped):
    """Group normalization: ``y = gamma (x - mean) / sqrt(var + eps) + beta``.

    The channels are split in order into groups of equal size. Mean and variance are those of a
    group's channels at all positions of one image, in training and evaluation alike.

    Parameters
    ----------
    groups : int
        Divides `channels`. With 1 the whole image is normalized together.
    channels : int
        Length C of the last axis.
    affine : bool, default True
        Whether there are parameters "gamma" and "beta", of shape (C,).
    eps : float, default 1e-5
        Added to the variance; above 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; in `forward`, if x does not fit, or has one value in a
        group.

    References
    ----------
    Wu, He, "Group Normalization", ECCV 2018, arXiv:1803.08494.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.layers import GroupNorm
    >>> GroupNorm(2, 4).forward(np.array([[1.0, 3.0, 50.0, 10.0]])).round(3)
    array([[-1.,  1.,  1., -1.]])
    """

    def __init__(self, groups: int, channels: int, affine: bool = True, eps: float = 1e-5) -> None:
        super().__init__(channels, affine, eps)
        self.groups = integer("GroupNorm", "groups", groups)
        if self.channels % self.groups:
            raise ValueError(
                f"GroupNorm: expected groups that divide the {channels} channels, got {groups}"
            )

    def grouped(self, shape: Shape) -> Shape:
        """Return (N, H W, groups, C / groups)."""
        return shape[0], positions(shape), self.groups, self.channels // self.groups

    def __repr__(self) -> str:
        affine = "" if self.affine else ", affine=False"
        return f"GroupNorm({self.groups}, {self.channels}{affine})"
