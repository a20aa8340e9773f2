"""How robust a trained network is against adversarial images: FGSM and projected gradient descent.

A network that was trained with another rule than backpropagation is attacked with its true
gradient, by backpropagation, in evaluation mode: dropout off, running statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elunet._checks import integer, number
from elunet._quiet import quiet
from elunet._types import Array
from elunet.losses import Loss, SoftmaxCrossEntropy
from elunet.network import Network
from elunet.train.evaluation import evaluate

PGD_STEPS = 10


@dataclass(frozen=True)
class Robustness:
    """A network's accuracy on adversarial images.

    Attributes
    ----------
    attack : "none", "fgsm" or "pgd"
    eps : float
        The most that a number of an image was changed.
    loss, accuracy : float
        Means; the accuracy is a fraction.

    Examples
    --------
    >>> Robustness("fgsm", 0.1, 2.5, 0.2).accuracy
    0.2
    """

    attack: str
    eps: float
    loss: float
    accuracy: float


@quiet
def fgsm(net: Network, x: Array, target: Array, eps: float, loss: Loss | None = None) -> Array:
    r"""Return adversarial images by the fast gradient sign method, ``x + eps sign(dL/dx)``.

    Parameters
    ----------
    net : Network
        It is not changed.
    x, target : arrays
        Images (N, ...) of float, as the network takes them, and their labels.
    eps : float
        At least 0, in the units of x.
    loss : Loss, optional
        By default `SoftmaxCrossEntropy`, which takes logits.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.

    References
    ----------
    Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015,
    arXiv:1412.6572.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(3, 2)], seed=0)
    >>> x, y = np.zeros((4, 3)), np.array([0, 1, 0, 1])
    >>> bool(np.all(np.abs(fgsm(net, x, y, 0.1)) == 0.1))
    True
    """
    number("fgsm", "eps", eps, "[0, inf)")
    return np.asarray(x + eps * np.sign(_gradient(net.aside(), x, target, loss)), x.dtype)


@quiet
def pgd(
    net: Network,
    x: Array,
    target: Array,
    eps: float,
    steps: int = PGD_STEPS,
    step: float | None = None,
    seed: int | None = 0,
    loss: Loss | None = None,
) -> Array:
    """Return adversarial images by projected gradient descent.

    `steps` steps of ``step * sign(dL/dx)``, each followed by a projection to within `eps` of x in
    every number, from a random point there.

    Parameters
    ----------
    net, x, target, eps, loss
        See `fgsm`.
    steps : int, default 10
    step : float, optional
        By default ``2.5 eps / steps``.
    seed : int or None, default 0
        Of the random start; None starts at x itself.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.

    References
    ----------
    Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards Deep Learning Models Resistant to Adversarial
    Attacks", ICLR 2018, arXiv:1706.06083.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> net = eln.Sequential([eln.layers.Linear(3, 2)], seed=0)
    >>> x, y = np.zeros((4, 3)), np.array([0, 1, 0, 1])
    >>> bool(np.allclose(pgd(net, x, y, 0.1), fgsm(net, x, y, 0.1)))  # of a linear network
    True
    """
    number("pgd", "eps", eps, "[0, inf)")
    steps = integer("pgd", "steps", steps)
    size = 2.5 * eps / steps if step is None else number("pgd", "step", step, "[0, inf)")
    changed = np.array(x)
    if seed is not None:
        changed += np.random.default_rng(seed).uniform(-eps, eps, x.shape).astype(x.dtype)
    twin = net.aside()
    for _ in range(steps):
        changed += np.asarray(size * np.sign(_gradient(twin, changed, target, loss)), x.dtype)
        changed = np.clip(changed, x - eps, x + eps)
    return np.asarray(changed, x.dtype)


def robustness(
    net: Network,
    x: Array,
    target: Array,
    eps: Sequence[float],
    steps: int = PGD_STEPS,
    batch_size: int = 100,
    loss: Loss | None = None,
) -> list[Robustness]:
    """Return the accuracy on images as they are, and after each attack with each `eps`.

    Parameters
    ----------
    net : Network
        Trained by any rule; it is not changed.
    x, target : arrays
        Images and labels.
    eps : sequence of float
        In the units of x: of standardized images, a part of a standard deviation.
    steps : int, default 10
        Of `pgd`.
    batch_size : int, default 100
    loss : Loss, optional
        By default `SoftmaxCrossEntropy`.

    Returns
    -------
    list of Robustness
        First without an attack, then `fgsm` and `pgd` for each eps.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.

    Examples
    --------
    >>> import elunet as eln
    >>> x, y = eln.data.make_shapes(20, seed=0)
    >>> net = eln.models.mlp(seed=0)
    >>> rows = robustness(net, eln.data.standardize(x), y, eps=[0.1])
    >>> [row.attack for row in rows]
    ['none', 'fgsm', 'pgd']
    """
    batch_size = integer("robustness", "batch_size", batch_size)
    scored = SoftmaxCrossEntropy() if loss is None else loss
    twin = net.aside()
    starts = range(0, len(x), batch_size)
    parts = [(x[i : i + batch_size], target[i : i + batch_size]) for i in starts]
    rows = [Robustness("none", 0.0, *evaluate(twin, x, target, scored, batch_size))]
    for most in eps:
        for attack in ("fgsm", "pgd"):
            changed = [
                fgsm(twin, one, its, most, scored)
                if attack == "fgsm"
                else pgd(twin, one, its, most, steps, loss=scored)
                for one, its in parts
            ]
            found = evaluate(twin, np.concatenate(changed), target, scored, batch_size)
            rows.append(Robustness(attack, float(most), *found))
    return rows


def _gradient(net: Network, x: Array, target: Array, loss: Loss | None) -> Array:
    """Return dL/dx in evaluation mode."""
    scored = SoftmaxCrossEntropy() if loss is None else loss
    _, dy = scored(net.forward(x, keep=True), target)
    return net.backward(dy)
