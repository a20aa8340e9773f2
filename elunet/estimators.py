"""Networks as estimators of scikit-learn, for pipelines and grid searches.

What is given to the constructor stays as it is; `fit` trains copies. This module imports
scikit-learn; ``import elunet`` does not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from elunet._checks import integer, number
from elunet._types import Array
from elunet.data import Batches, split
from elunet.layers import ELU, Flatten, Linear, LogSoftmax, Softmax
from elunet.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy
from elunet.network import Network, Sequential
from elunet.optim import Adam, Optimizer
from elunet.routers import Router
from elunet.train import Callback, Trainer

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "elunet.estimators: expected scikit-learn of 1.6 or newer to be installed"
        " (python -m pip install scikit-learn), got none"
    ) from error

Build = Callable[[tuple[int, ...], int], Network]
"""``build(input_shape, outputs)`` returns a network."""


class _Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both estimators share."""

    _loss: type[Loss]

    def __init__(
        self,
        net: Network | Build | None = None,
        loss: Loss | None = None,
        optimizer: Optimizer | None = None,
        router: Router | None = None,
        epochs: int = 100,
        batch_size: int = 32,
        augment: Callable[..., Any] | None = None,
        callbacks: Sequence[Callback] = (),
        validation_fraction: float = 0.0,
        random_state: Any = 0,
    ) -> None:
        self.net = net
        self.loss = loss
        self.optimizer = optimizer
        self.router = router
        self.epochs = epochs
        self.batch_size = batch_size
        self.augment = augment
        self.callbacks = callbacks
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _train(self, x: Array, y: Array, outputs: int, weights: Array | None) -> Self:
        """Train a network on checked data."""
        owner = type(self).__name__
        integer(owner, "epochs", self.epochs)
        integer(owner, "batch_size", self.batch_size)
        number(owner, "validation_fraction", self.validation_fraction, "[0, 1)")
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        if isinstance(self.net, Network):
            self.net_ = copy.deepcopy(self.net)
        elif self.net is None:
            self.net_ = _dense(x.shape[1:], outputs, seed)
        else:
            self.net_ = copy.deepcopy(self.net(x.shape[1:], outputs))  # it may give one it keeps
        loss = self._loss() if self.loss is None else copy.deepcopy(self.loss)
        optimizer = Adam() if self.optimizer is None else copy.deepcopy(self.optimizer)
        self.trainer_ = Trainer(
            self.net_,
            loss,
            optimizer,
            copy.deepcopy(self.router),
            batch_size=self.batch_size,
            callbacks=copy.deepcopy(self.callbacks),
            seed=seed,
            progress=False,
        )
        rows, validation = np.arange(len(x)), None
        if self.validation_fraction:
            (rows, _), (held, _) = split(rows, rows, self.validation_fraction, seed)
            validation = x[held], y[held]
        its = None if weights is None else weights[rows]
        batches = Batches(x[rows], y[rows], self.batch_size, True, seed, self.augment, its)
        self.history_ = self.trainer_.fit(batches, validation, self.epochs)
        return self

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Leave the estimator as it was if the block fails."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _checked(self, x: Any, **options: Any) -> Any:
        """Return x (and y) as scikit-learn wants them checked; images have more than two axes."""
        many = _axes(x) > 2
        found = validate_data(
            self, x, dtype=[np.float64, np.float32], allow_nd=many, ensure_2d=not many, **options
        )
        if many and "y" in options:
            self.n_features_in_ = found[0].shape[1]
        return found

    def _outputs(self, x: Any) -> Array:
        check_is_fitted(self)
        checked = self._checked(x, reset=False)
        if checked.shape[1:] != self.input_shape_:
            shape = ", ".join(map(str, ("N", *self.input_shape_)))
            raise ValueError(
                f"{type(self).__name__}: expected X of shape ({shape}), as in fit, got"
                f" {checked.shape}"
            )
        return np.asarray(self.net_.predict(checked, batch_size=max(self.batch_size, 100)))


class Classifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A network that tells classes apart, as an estimator of scikit-learn.

    Parameters
    ----------
    net : Network or callable, optional
        The network, from inputs to logits (N, classes); `fit` trains a copy, from the weights that
        it has. Or ``build(input_shape, classes)``, called in `fit`. By default one hidden layer of
        100 ELUs.
    loss : Loss, optional
        By default `SoftmaxCrossEntropy`.
    optimizer : Optimizer, optional
        By default `Adam`.
    router : Router, optional
        The learning rule; by default `Backprop`.
    epochs : int, default 100
    batch_size : int, default 32
    augment : callable, optional
        See `elunet.data.Batches`.
    callbacks : sequence of Callback, optional
        `fit` uses copies; ``trainer_.callbacks`` has them.
    validation_fraction : float, default 0.0
        Part of the data that is held out of training, for the history's validation columns and for
        callbacks such as `EarlyStopping`.
    random_state : int, RandomState or None, default 0
        Of the default network's weights and the order of the examples.

    Attributes
    ----------
    classes_ : array
        The labels, sorted; any kind that scikit-learn takes.
    net_ : Network
        The network that `fit` trained.
    trainer_ : Trainer
        The trainer that `fit` used.
    history_ : History
        The history of that training.
    n_features_in_ : int
        Length of the inputs' second axis.

    Raises
    ------
    ImportError
        When it is asked for, if scikit-learn is not installed.
    TypeError, ValueError
        From `fit`, if an argument is out of range, or the data are not as scikit-learn wants them;
        from `predict`, if X has another shape than in `fit`.

    Notes
    -----
    Inputs of integers become float64. Networks learn best from standardized inputs: put a
    ``StandardScaler`` before, in a pipeline.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import elunet as eln
    >>> X, y = load_iris(return_X_y=True)
    >>> round(eln.Classifier(epochs=20).fit(X, y).score(X, y), 1)
    1.0
    """

    _loss = SoftmaxCrossEntropy

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on examples and labels.

        Parameters
        ----------
        X : array of shape (N, features) or (N, ...)
            Images are (N, H, W, C).
        y : array of shape (N,)
            Labels of any kind.
        sample_weight : array of shape (N,), optional
        """
        with self._whole():
            x, labels = self._checked(X, y=y)
            check_classification_targets(labels)
            self.input_shape_ = x.shape[1:]
            self.classes_, y_index = np.unique(labels, return_inverse=True)
            if len(self.classes_) < 2:
                raise ValueError(f"Classifier: expected more than one class, got {self.classes_}")
            weights = None if sample_weight is None else _check_sample_weight(sample_weight, x)
            return self._train(x, y_index.astype(np.int64), len(self.classes_), weights)

    def predict(self, X: Any) -> Array:
        """Return the most likely label of each example, (N,)."""
        best = self._logits(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: Any) -> Array:
        """Return the classes' probabilities (N, classes), in the order of ``classes_``.

        They are the softmax of the network's output, or the output itself if the network ends in
        a Softmax layer.
        """
        logits = self._logits(X)
        last = self.net_[self.net_.outputs[0]]
        ends = isinstance(last, Softmax) and not isinstance(last, LogSoftmax)
        return logits if ends else np.asarray(Softmax().forward(logits))

    def _logits(self, x: Any) -> Array:
        logits = self._outputs(x)
        if logits.ndim != 2 or logits.shape[1] != len(self.classes_):
            raise ValueError(
                f"Classifier: expected a network with outputs (N, {len(self.classes_)}), got"
                f" {logits.shape}"
            )
        return logits


class Regressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A network that predicts numbers, as an estimator of scikit-learn.

    Parameters
    ----------
    net : Network or callable, optional
        The network, from inputs to outputs (N, targets); `fit` trains a copy. Or
        ``build(input_shape, targets)``. By default one hidden layer of 100 ELUs.
    loss : Loss, optional
        By default `MeanSquaredError`.
    optimizer, router, epochs, batch_size, augment, callbacks, validation_fraction, random_state
        See `Classifier`.

    Attributes
    ----------
    net_ : Network
        The network that `fit` trained.
    trainer_ : Trainer
        The trainer that `fit` used.
    history_ : History
        The history of that training.
    n_features_in_ : int
        Length of the inputs' second axis.

    Raises
    ------
    ImportError, TypeError, ValueError
        As `Classifier`.

    Notes
    -----
    Large targets take long to learn: scale them, for instance with scikit-learn's
    ``TransformedTargetRegressor``.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> model = eln.Regressor(epochs=50).fit(X, X[:, 0] ** 2)
    >>> bool(model.score(X, X[:, 0] ** 2) > 0.9)
    True
    """

    _loss = MeanSquaredError

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on examples and targets.

        Parameters
        ----------
        X : array of shape (N, features) or (N, ...)
        y : array of float, (N,) or (N, targets)
        sample_weight : array of shape (N,), optional
        """
        with self._whole():
            x, targets = self._checked(X, y=y, multi_output=True, y_numeric=True)
            self.input_shape_, self._is_flat = x.shape[1:], targets.ndim == 1
            columns = targets.reshape(len(targets), -1).astype(x.dtype)
            weights = None if sample_weight is None else _check_sample_weight(sample_weight, x)
            return self._train(x, columns, columns.shape[1], weights)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any) -> Array:
        """Return the predictions, of the targets' shape (N,) or (N, targets)."""
        found = self._outputs(X)
        return found[:, 0] if self._is_flat else found


def _axes(x: Any) -> int:
    """Return how many axes an input has; 2 where only scikit-learn can tell."""
    if not isinstance(x, list | tuple):
        return int(getattr(x, "ndim", 2))
    try:
        return int(np.ndim(x))
    except ValueError:  # rows of different lengths
        return 2


def _dense(shape: tuple[int, ...], outputs: int, seed: int) -> Sequential:
    features = int(np.prod(shape))
    hidden = [Linear(features, 100), ELU(), Linear(100, outputs)]
    return Sequential([Flatten(), *hidden] if len(shape) > 1 else hidden, seed=seed)
