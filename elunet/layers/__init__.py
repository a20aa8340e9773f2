"""The layers: one class per file, each with the mathematics in its docstrings."""

from elunet.layers.adaptive_mean_pool2d import AdaptiveMeanPool2D
from elunet.layers.add import Add
from elunet.layers.alpha_dropout import AlphaDropout
from elunet.layers.base import Layer
from elunet.layers.batch_norm import BatchNorm
from elunet.layers.celu import CELU
from elunet.layers.clipped_relu import ClippedReLU
from elunet.layers.concat import Concat
from elunet.layers.conv2d import Conv2D
from elunet.layers.dropout import Dropout
from elunet.layers.elementwise import Elementwise
from elunet.layers.elu import ELU
from elunet.layers.flatten import Flatten
from elunet.layers.gelu import GELU
from elunet.layers.global_max_pool2d import GlobalMaxPool2D
from elunet.layers.global_mean_pool2d import GlobalMeanPool2D
from elunet.layers.group_norm import GroupNorm
from elunet.layers.hard_tanh import HardTanh
from elunet.layers.instance_norm import InstanceNorm
from elunet.layers.layer_norm import LayerNorm
from elunet.layers.leaky_relu import LeakyReLU
from elunet.layers.linear import Linear
from elunet.layers.locally_connected2d import LocallyConnected2D
from elunet.layers.log_softmax import LogSoftmax
from elunet.layers.max_pool2d import MaxPool2D
from elunet.layers.mean_pool2d import MeanPool2D
from elunet.layers.multiply import Multiply
from elunet.layers.pad import Pad
from elunet.layers.prelu import PReLU
from elunet.layers.relu import ReLU
from elunet.layers.selu import SELU
from elunet.layers.shifted_relu import ShiftedReLU
from elunet.layers.sigmoid import Sigmoid
from elunet.layers.silu import SiLU
from elunet.layers.softmax import Softmax
from elunet.layers.softplus import Softplus
from elunet.layers.spans import SpanLayer
from elunet.layers.tanh import Tanh
from elunet.layers.weighted import Weighted

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "AdaptiveMeanPool2D",
    "Add",
    "AlphaDropout",
    "BatchNorm",
    "ClippedReLU",
    "Concat",
    "Conv2D",
    "Dropout",
    "Elementwise",
    "Flatten",
    "GlobalMaxPool2D",
    "GlobalMeanPool2D",
    "GroupNorm",
    "HardTanh",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocallyConnected2D",
    "LogSoftmax",
    "MaxPool2D",
    "MeanPool2D",
    "Multiply",
    "PReLU",
    "Pad",
    "ReLU",
    "ShiftedReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "SpanLayer",
    "Tanh",
    "Weighted",
]
