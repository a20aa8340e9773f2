"""Networks that others published, each in a few lines; all return logits of shape (N, classes).

- ``elu.py``: the ELU paper's, and those of the article
- ``residual.py``: ResNets for small images
- ``classic.py``: LeNet-5, VGG, all-convolutional, locally connected
- ``small.py``: two small ones for experiments with learning rules
- ``pretrained.py``: where trained weights are
"""

from elunet.models.classic import all_cnn, lenet5, locally_connected, vgg
from elunet.models.elu import ARTICLE_WIDTHS as ARTICLE_WIDTHS
from elunet.models.elu import article_case, elu11, elu18
from elunet.models.residual import resnet
from elunet.models.small import mlp, small_cnn

__all__ = [
    "all_cnn",
    "article_case",
    "elu11",
    "elu18",
    "lenet5",
    "locally_connected",
    "mlp",
    "resnet",
    "small_cnn",
    "vgg",
]
