"""Data sets, a synthetic stand-in, images of your own, preprocessing, augmentation and batches.

Images are NHWC arrays, labels are integers. Nothing here knows about layers or networks.
"""

from __future__ import annotations

from elunet.data.augmentation import (
    ColorJitter,
    Compose,
    Cutout,
    Mixup,
    RandomErase,
    pad_crop_flip,
)
from elunet.data.batches import Batches, split
from elunet.data.cifar10 import CIFAR10_CLASSES, load_cifar10
from elunet.data.cifar100 import load_cifar100
from elunet.data.folders import load_images
from elunet.data.mnist import FASHION_CLASSES, load_fashion_mnist, load_mnist
from elunet.data.preprocessing import ZCA, global_contrast_normalize, minmax, standardize
from elunet.data.synthetic import SHAPE_CLASSES, make_shapes

__all__ = [
    "CIFAR10_CLASSES",
    "FASHION_CLASSES",
    "SHAPE_CLASSES",
    "ZCA",
    "Batches",
    "ColorJitter",
    "Compose",
    "Cutout",
    "Mixup",
    "RandomErase",
    "global_contrast_normalize",
    "load_cifar10",
    "load_cifar100",
    "load_fashion_mnist",
    "load_images",
    "load_mnist",
    "make_shapes",
    "minmax",
    "pad_crop_flip",
    "split",
    "standardize",
]
