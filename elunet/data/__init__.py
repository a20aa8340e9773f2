"""Data: CIFAR-10 and a synthetic stand-in, preprocessing, augmentation and batches.

Images are NHWC arrays, labels are integers. Nothing here knows about layers or networks.
"""

from __future__ import annotations

from elunet.data.augmentation import pad_crop_flip
from elunet.data.batches import Batches, split
from elunet.data.cifar10 import CIFAR10_CLASSES, load_cifar10
from elunet.data.preprocessing import ZCA, global_contrast_normalize, minmax, standardize
from elunet.data.synthetic import SHAPE_CLASSES, make_shapes

__all__ = [
    "CIFAR10_CLASSES",
    "SHAPE_CLASSES",
    "ZCA",
    "Batches",
    "global_contrast_normalize",
    "load_cifar10",
    "make_shapes",
    "minmax",
    "pad_crop_flip",
    "split",
    "standardize",
]
