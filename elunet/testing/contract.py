"""Contract tests to inherit from: what every layer and every loss must do.

    class TestCube(LayerContract):
        def make_layer(self):
            return Cube()

        def make_input(self):
            return spread((4, 3), np.random.default_rng(0))

pytest runs the inherited methods on this class's layer. `test_gradients` is `check_layer`. The
others test what a gradient check cannot see: one row against a batch, float32, training against
evaluation, ties, very large numbers, and known values.
"""

from __future__ import annotations

from typing import Any, NoReturn
from unittest import SkipTest

import numpy as np

from elunet._types import Array
from elunet.losses import one_hot
from elunet.testing._call.passes import flags, name_of
from elunet.testing._compare.claims import targets_of
from elunet.testing._compare.probe import Probe
from elunet.testing._compare.settings import Settings
from elunet.testing._find.pairs import pair
from elunet.testing._find.places import lookup, numeric_places
from elunet.testing._find.returned import Claim
from elunet.testing._layer import check_layer
from elunet.testing._loss import check_loss
from elunet.testing._perturb.layer_problem import problem_of
from elunet.testing._perturb.layer_run import Runner
from elunet.testing._perturb.moves import first_index, stream
from elunet.testing._perturb.side_effects import same

__tracebackhide__ = True  # pytest shows the frames of the code that is checked

__all__ = ["LayerContract", "LossContract"]


class LayerContract:
    """Tests that any layer should pass; a test class inherits them for its own layer.

    They work for elunet's layers and for any class with ``forward(x)`` and ``backward(dy)``;
    `train` is passed to forward if it takes it. They run under pytest or unittest (``class
    TestCube(LayerContract, unittest.TestCase)``) and need only NumPy.

    A subclass defines `make_layer` and `make_input`, and `formula` if it can. The attributes below
    relax the tests for a layer that cannot pass all of them.

    Attributes
    ----------
    dtypes : tuple of dtype
        The dtypes of x in which the layer computes. ``(np.float64,)`` for a layer whose parameters
        are float64.
    rows_apart_in_training : bool
        Whether a row of the output depends on that row of the input alone, in training too. False
        for batch normalization. In evaluation it always has to.
    same_on_average : bool
        Whether the output in training, averaged over many passes, is the output in evaluation.
    largest : float
        The largest numbers for which the layer must give finite results.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.testing import LayerContract, spread
    >>> class Cube:
    ...     def forward(self, x):
    ...         self.x = x
    ...         return x**3
    ...     def backward(self, dy):
    ...         return dy * 3 * self.x**2
    >>> class TestCube(LayerContract):
    ...     def make_layer(self):
    ...         return Cube()
    ...     def make_input(self):
    ...         return spread((4, 3), np.random.default_rng(0))
    >>> TestCube().test_batched_equals_unbatched()
    """

    dtypes: tuple[Any, ...] = (np.float32, np.float64)
    rows_apart_in_training = True
    same_on_average = True
    largest = 1e4

    def make_layer(self) -> Any:
        """Return a new layer, the same one each time (same weights, same seed)."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method make_layer")

    def make_input(self) -> Any:
        """Return x, float64 of shape (N, ...) with N >= 2, or a tuple of such arrays.

        Values should keep away from kinks and ties; see `spread`.
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a method make_input")

    def formula(self, layer: Any, x: Any, train: bool) -> Array | None:
        """Return what forward should give, computed in the simplest way; None if not known.

        Parameters
        ----------
        layer : object
            It has the parameters; its forward pass has not run.
        x : array or tuple of arrays
        train : bool
        """
        return None

    # -- what a gradient check sees

    def test_gradients(self) -> None:
        """Check gradients and side effects, in training: see `check_layer`."""
        check_layer(self.make_layer(), self.make_input(), train=True)

    def test_gradients_in_evaluation(self) -> None:
        """Check them with train=False."""
        layer = self.make_layer()
        if not flags(layer.forward, False):
            raise SkipTest("forward takes no argument train")
        check_layer(layer, self.make_input(), train=False)

    # -- form

    def test_shapes(self) -> None:
        """Y has a row for each row of x; dx has x's shape, each gradient its parameter's."""
        trial, x = self._trial()
        y = trial.forward(x)
        if y.ndim == 0 or len(y) != len(_tuple(x)[0]):
            self._fail(f"expected y with a row for each row of x, got shape {y.shape}")
        dxs = trial.backward(_like(y))
        for given, dx in zip(_tuple(x), dxs, strict=True):
            if dx.shape != given.shape:
                self._fail(f"expected dx of x's shape {given.shape}, got {dx.shape}")
        for name, (gradient, value) in trial.gradients().items():
            if gradient.shape != value.shape:
                self._fail(f"expected {name} of shape {value.shape}, got {gradient.shape}")

    def test_dtypes(self) -> None:
        """The results y, dx and the gradients have x's dtype."""
        for dtype in self.dtypes:
            for train in (False, True):
                trial, x = self._trial(train)
                y = trial.forward(_each(x, lambda a, dtype=dtype: a.astype(dtype)))
                dxs = trial.backward(_like(y).astype(dtype))
                found = {"y": y, "dx": dxs[0]}
                found |= {name: gradient for name, (gradient, _) in trial.gradients().items()}
                for name, array in found.items():
                    if array.dtype != dtype:
                        self._fail(
                            f"expected {name} in {np.dtype(dtype)} for x of that dtype, got "
                            f"{array.dtype} (if the layer cannot, say so: dtypes = (np.float64,))"
                        )

    def test_float32_is_close_to_float64(self) -> None:
        """The same numbers come out in both precisions, to about three digits."""
        if len(self.dtypes) < 2:
            raise SkipTest("computes in one dtype only")
        results = []
        for dtype in (np.float32, np.float64):
            trial, x = self._trial()
            y = trial.forward(_each(x, lambda a, dtype=dtype: a.astype(dtype)))
            dxs = trial.backward(_like(y).astype(dtype))
            results.append([y, *dxs, *(gradient for gradient, _ in trial.gradients().values())])
        for low, high in zip(*results, strict=True):
            self._expect_close(low, high, 1e-3, "float32 and float64 differ: {}")

    # -- side effects

    def test_input_is_unchanged(self) -> None:
        """Neither pass writes to x or dy, and both accept read-only arrays."""
        for train in (False, True):
            trial, x = self._trial(train)
            given = _each(x, np.copy)
            y = trial.forward(given)
            y_before = y.copy()
            dy = _like(y)
            dy_before = dy.copy()
            trial.backward(dy)
            for name, now, before in (
                *(("x", a, b) for a, b in zip(_tuple(given), _tuple(x), strict=True)),
                ("dy", dy, dy_before),
                ("y, returned before,", y, y_before),
            ):
                if not np.array_equal(now, before):
                    index = list(first_index(now != before))
                    self._fail(f"{name} was changed in place, first at {index}")
            trial, _ = self._trial(train)
            frozen = _each(x, _read_only)
            trial.backward(_read_only(_like(trial.forward(frozen))))

    def test_backward_before_forward(self) -> None:
        """Backward without a forward pass is an error, unless the layer needs no forward pass."""
        trial, x = self._trial()
        y = trial.forward(x)
        dy = _like(y)
        expected = [dx.copy() for dx in trial.backward(dy)]
        try:
            got = self._trial()[0].backward(dy)
        except NotImplementedError:
            raise
        except Exception:
            return
        if len(got) != len(expected) or not all(map(same, got, expected)):
            self._fail(
                "expected an error from backward without a forward pass, got a result, and a"
                " different one than after a forward pass"
            )

    def test_memory_layout(self) -> None:
        """The memory layout of arrays does not matter."""
        for layout in (np.asfortranarray, _backwards, _spaced):
            results = []
            for change in (np.copy, layout):
                trial, x = self._trial()
                y = trial.forward(_each(x, change))
                dxs = trial.backward(change(_like(y)))
                gradients = [gradient for gradient, _ in trial.gradients().values()]
                results.append([y, *dxs, *gradients])
            for usual, other in zip(*results, strict=True):
                self._expect_close(
                    other,
                    usual,
                    1e-9,
                    "equal arrays with different memory layouts give different results: {}",
                )

    # -- behavior

    def test_evaluation_is_repeatable(self) -> None:
        """In evaluation the same x gives the same y, after any other pass."""
        trial, x = self._trial(train=False)
        first = trial.forward(x).copy()
        trial.forward(_each(x, lambda a: 1.1 * a))
        self._expect_close(
            trial.forward(x), first, 1e-12, "the same x gives a different result in evaluation: {}"
        )

    def test_batched_equals_unbatched(self) -> None:
        """A row's y and dx do not depend on its neighbors; gradients are sums over the rows."""
        for train in (False, True):
            trial, x = self._trial(train)
            if train and not (trial.flags and self.rows_apart_in_training):
                continue
            y = trial.forward(x).copy()
            if not same(trial.forward(x), y):
                continue  # it draws: one row gets another mask than a batch
            dy = _like(y)
            dxs = [dx.copy() for dx in trial.backward(dy)]
            whole = {name: gradient.copy() for name, (gradient, _) in trial.gradients().items()}
            total = {name: np.zeros(gradient.shape) for name, gradient in whole.items()}
            for n in range(len(y)):
                single, _ = self._trial(train)
                one = slice(n, n + 1)
                got = single.forward(_each(x, lambda a, one=one: a[one].copy()))
                self._expect_close(got, y[one], 1e-9, f"row {n} alone gives another y: {{}}")
                for dx, all_rows in zip(single.backward(dy[one].copy()), dxs, strict=True):
                    text = f"row {n} alone gives another dx: {{}}"
                    self._expect_close(dx, all_rows[one], 1e-9, text)
                for name, (gradient, _) in single.gradients().items():
                    total[name] += gradient
            for name, gradient in whole.items():
                text = f"{name} is not the sum over the rows: {{}}"
                self._expect_close(gradient, total[name], 1e-9, text)

    def test_training_agrees_with_evaluation(self) -> None:
        """Averaged over many passes, training gives what evaluation gives afterwards."""
        layer = self.make_layer()
        if not flags(layer.forward, True) or not self.same_on_average:
            raise SkipTest("forward takes no argument train, or does something else in training")
        x = self.make_input()
        rows = len(_tuple(x)[0])
        copies = -(-128 // rows)  # statistics of a larger batch, and more draws at once
        many = _each(x, lambda a: np.concatenate([a] * copies))
        train, evaluate = _Trial(layer, True), _Trial(layer, False)
        first, evaluated = train.forward(many), evaluate.forward(many)
        if same(first, evaluated) and same(train.forward(many), evaluated):
            return
        before = evaluated
        for _ in range(10):
            passes = np.array(
                [train.forward(many).reshape(copies, rows, -1).mean(axis=0) for _ in range(200)]
            )
            after = evaluate.forward(many).copy()
            if np.allclose(after, before, rtol=1e-3, atol=1e-3 * float(np.max(np.abs(after)))):
                break
            before = after  # running averages still change
        else:
            raise SkipTest("after 2000 passes evaluation still changes")
        expected = after[:rows].reshape(rows, -1)
        error = passes.std(axis=0) / np.sqrt(len(passes))
        allowed = 6 * error + 0.03 * float(np.max(np.abs(expected)))
        wrong = np.abs(passes.mean(axis=0) - expected) > allowed
        if wrong.any():
            row, place = first_index(wrong)
            average = passes.mean(axis=0)[row, place]
            self._fail(
                f"in training row {row}, entry {place} of y is {average:.4g} on average over "
                f"{len(passes)} passes, in evaluation {expected[row, place]:.4g}: is something not "
                "scaled, or not kept for evaluation?"
            )

    # -- special places

    def test_large_numbers(self) -> None:
        """Numbers as large as `largest` give no inf and no nan."""
        for dtype in self.dtypes:
            trial, x = self._trial(train=True)
            size = max(float(np.max(np.abs(a))) for a in _tuple(x))
            scale = self.largest / size
            y = trial.forward(_each(x, lambda a, s=scale, dtype=dtype: (a * s).astype(dtype)))
            dxs = trial.backward(_like(y).astype(dtype))
            for name, array in (("y", y), ("dx", dxs[0])):
                if not np.all(np.isfinite(array)):
                    index = first_index(~np.isfinite(array))
                    self._fail(
                        f"{name}{list(index)} is {array[index]} for x up to {self.largest:g} in "
                        f"{np.dtype(dtype)}"
                    )

    def test_ties(self) -> None:
        """If all entries of x are equal, dx is still right for a change of all of them together.

        Max pooling, for example, has no derivative by one entry there, but it has one along this
        direction.
        """
        x = self.make_input()
        labels = [f"x[{i}]" for i in range(len(x))] if isinstance(x, tuple) else ["x"]
        for place in (0, -1):
            inputs = [np.full(a.shape, a.reshape(-1)[place]) for a in _tuple(x)]
            layer = self.make_layer()
            run = Runner(layer, inputs, labels, isinstance(x, tuple), True)
            y = run.forward(run.copies()).copy()
            dy = _like(y)
            dxs = [np.array(dx, dtype=np.float64) for dx in run.backward(dy.copy())]
            claims = {label: Claim(f"d{label}", dx) for label, dx in zip(labels, dxs, strict=True)}
            for target in targets_of(problem_of(run), claims, {}, y):
                along = np.ones(target.value.size)
                if target.analytic.shape == target.value.shape and Probe(
                    target, dy, Settings()
                ).direction_wrong(along):
                    self._fail(
                        f"where all of {target.symbol} is {target.value.reshape(-1)[0]:.4g}, "
                        f"{target.array} is wrong for a change of all entries together (its sum is "
                        f"{target.analytic.sum():.6g}): do equal entries each get the whole "
                        "gradient?"
                    )

    # -- values

    def test_known_values(self) -> None:
        """Forward gives what `formula` says."""
        known = False
        for train in (False, True):
            trial, x = self._trial(train)
            expected = self.formula(self.make_layer(), _each(x, np.copy), train)
            if expected is None or (train and not trial.flags):
                continue
            known = True
            y, expected = trial.forward(x), np.asarray(expected)
            if y.shape != expected.shape:
                self._fail(f"expected y of shape {expected.shape}, got {y.shape}")
            mode = "training" if train else "evaluation"
            self._expect_close(y, expected, 1e-6, f"y in {mode} is not what the formula says: {{}}")
        if not known:
            raise SkipTest("no formula is given")

    # -- help

    def _trial(self, train: bool = False) -> tuple[_Trial, Any]:
        """Return a new layer, ready to run, and x."""
        return _Trial(self.make_layer(), train), _each(self.make_input(), np.copy)

    def _fail(self, text: str) -> NoReturn:
        raise AssertionError(f"{name_of(self.make_layer())}: {text}")

    def _expect_close(self, got: Array, expected: Array, rtol: float, text: str) -> None:
        difference = _difference(got, expected, rtol)
        if difference:
            self._fail(text.format(difference))


class LossContract:
    """Tests that any loss ``value, dy = loss(prediction, target)`` should pass.

    A subclass defines `make_loss`, `make_prediction` and `make_target`, and `formula` if it can.

    Attributes
    ----------
    dtypes : tuple of dtype
        The dtypes that predictions may have; dy has the same.
    largest : float
        The largest predictions for which the loss must give finite results.

    Examples
    --------
    >>> import numpy as np
    >>> from elunet.testing import LossContract
    >>> class TestSquares(LossContract):
    ...     def make_loss(self):
    ...         return lambda p, t: (0.5 * np.mean((p - t) ** 2), (p - t) / p.size)
    ...     def make_prediction(self):
    ...         return np.random.default_rng(0).normal(size=(5, 3))
    ...     def make_target(self):
    ...         return np.zeros((5, 3))
    >>> TestSquares().test_mean_over_rows()
    """

    dtypes: tuple[Any, ...] = (np.float32, np.float64)
    largest = 1e4

    def make_loss(self) -> Any:
        """Return the loss."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method make_loss")

    def make_prediction(self) -> Any:
        """Return a prediction, float64 of shape (N, ...) with N >= 2, away from any kink."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method make_prediction")

    def make_target(self) -> Any:
        """Return the target, an array with a row for each row of the prediction."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method make_target")

    def make_extreme(self) -> Any:
        """Return an extreme prediction: by default numbers as large as `largest`."""
        prediction = self.make_prediction()
        return prediction * (self.largest / np.max(np.abs(prediction)))

    def formula(self, prediction: Array, target: Any) -> float | None:
        """Return what the value should be, computed in the simplest way; None if not known."""
        return None

    def test_gradient(self) -> None:
        """Check dy against the value: see `check_loss`."""
        check_loss(self.make_loss(), self.make_prediction(), self.make_target())

    def test_form(self) -> None:
        """The value is one number; dy has the prediction's shape and dtype."""
        for dtype in self.dtypes:
            prediction = self.make_prediction().astype(dtype)
            value, dy = self.make_loss()(prediction, self.make_target())
            if np.ndim(value) != 0:
                self._fail(f"expected the value as one number, got shape {np.shape(value)}")
            if dy.shape != prediction.shape or dy.dtype != dtype:
                self._fail(
                    f"expected dy in {np.dtype(dtype)} of shape {prediction.shape}, like the "
                    f"prediction, got {dy.dtype} of shape {dy.shape}"
                )

    def test_arguments_are_unchanged(self) -> None:
        """Neither argument is written to."""
        self.make_loss()(_read_only(self.make_prediction()), _read_only(self.make_target()))

    def test_mean_over_rows(self) -> None:
        """The value is the mean of the values of the rows, each alone."""
        loss, prediction, target = self.make_loss(), self.make_prediction(), self.make_target()
        rows = [
            loss(prediction[n : n + 1].copy(), target[n : n + 1].copy())[0]
            for n in range(len(prediction))
        ]
        value = loss(prediction, target)[0]
        if not np.isclose(value, np.mean(rows), rtol=1e-9, atol=1e-12):
            self._fail(
                f"expected the mean over the rows, {np.mean(rows):.8g}, got {value:.8g} "
                f"(their sum is {np.sum(rows):.8g})"
            )

    def test_labels_are_one_hot_rows(self) -> None:
        """Integer labels give what their one-hot rows give."""
        loss, prediction, target = self.make_loss(), self.make_prediction(), self.make_target()
        if target.dtype.kind not in "iu" or target.ndim != 1 or prediction.ndim != 2:
            raise SkipTest("the target is not an array of labels")
        rows = one_hot(target, prediction.shape[1])
        value, other = loss(prediction, target)[0], loss(prediction, rows)[0]
        if not np.isclose(value, other, rtol=1e-9, atol=1e-12):
            self._fail(f"labels give {value:.8g}, the same as one-hot rows {other:.8g}")

    def test_no_broadcasting(self) -> None:
        """A target (N,) for a prediction (N, 1) is an error, or read as (N, 1); never broadcast."""
        loss, prediction, target = self.make_loss(), self.make_prediction(), self.make_target()
        if target.shape != prediction.shape:
            raise SkipTest("the target has another shape than the prediction anyway")
        prediction, target = (a.reshape(len(a), -1)[:, :1].copy() for a in (prediction, target))
        try:
            value = loss(prediction, target)[0]
        except (ValueError, TypeError, IndexError):
            raise SkipTest("the loss takes no predictions of one column") from None
        try:
            other = loss(prediction, target[:, 0].copy())[0]
        except (ValueError, TypeError, IndexError):
            return
        if not np.isclose(value, other, rtol=1e-9, atol=1e-12):
            self._fail(
                f"a target of shape {target[:, 0].shape} is broadcast against a prediction of "
                f"shape {prediction.shape}: {other:.8g} instead of {value:.8g}, and no error"
            )

    def test_extremes(self) -> None:
        """For extreme predictions (`make_extreme`) value and gradient stay finite."""
        for dtype in self.dtypes:
            value, dy = self.make_loss()(self.make_extreme().astype(dtype), self.make_target())
            if not np.isfinite(value) or not np.all(np.isfinite(dy)):
                self._fail(
                    f"for extreme predictions in {np.dtype(dtype)} the value is {value}, and "
                    f"{np.count_nonzero(~np.isfinite(dy))} entries of dy are not finite"
                )

    def test_known_values(self) -> None:
        """The value is what `formula` says."""
        prediction, target = self.make_prediction(), self.make_target()
        expected = self.formula(prediction.copy(), target.copy())
        if expected is None:
            raise SkipTest("no formula is given")
        value = self.make_loss()(prediction, target)[0]
        if not np.isclose(value, expected, rtol=1e-6, atol=1e-9):
            self._fail(f"expected {expected:.8g}, as the formula says, got {value:.8g}")

    def _fail(self, text: str) -> NoReturn:
        raise AssertionError(f"{name_of(self.make_loss())}: {text}")


class _Trial:
    """A layer, what it holds before any pass, and the `train` of its forward pass."""

    def __init__(self, layer: Any, train: bool) -> None:
        self.layer = layer
        self.flags = flags(layer.forward, train)
        self.held = {
            place.path: place.get()
            for place in numeric_places(layer)
            if isinstance(place.get(), np.ndarray)
        }

    def forward(self, x: Any) -> Array:
        y = self.layer.forward(x, **self.flags)
        if not isinstance(y, np.ndarray):
            raise AssertionError(
                f"{name_of(self.layer)}: expected forward to return an array, got "
                f"{type(y).__name__}"
            )
        return y

    def backward(self, dy: Array) -> list[Array]:
        dx = self.layer.backward(dy)
        dxs = list(dx) if isinstance(dx, tuple | list) else [dx]
        for one in dxs:
            if not isinstance(one, np.ndarray):
                raise AssertionError(
                    f"{name_of(self.layer)}: expected backward to return dx, got "
                    f"{type(one).__name__}"
                )
        return dxs

    def gradients(self) -> dict[str, tuple[Array, Array]]:
        """Return each gradient of the last backward pass by name, with its parameter."""
        now = {place.path: place.get() for place in numeric_places(self.layer)}
        arrays = {path: value for path, value in now.items() if isinstance(value, np.ndarray)}
        pairs = pair(self.held, arrays)
        return {
            name: (np.asarray(lookup(self.layer, name)), self.held[path])
            for path, name in pairs.items()
            if path not in pairs.values()
        }


def _tuple(x: Any) -> tuple[Array, ...]:
    return x if isinstance(x, tuple) else (x,)


def _each(x: Any, change: Any) -> Any:
    """Return x with every array of it changed."""
    return tuple(map(change, x)) if isinstance(x, tuple) else change(x)


def _like(y: Array) -> Array:
    """Return a random dy for y, the same for the same shape."""
    return stream(0, 6).standard_normal(y.shape).astype(y.dtype)


def _read_only(array: Array) -> Array:
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


def _backwards(array: Array) -> Array:
    """Return an equal array whose memory runs from its end to its start."""
    turned = (slice(None, None, -1),) * array.ndim
    return array[turned].copy()[turned]


def _spaced(array: Array) -> Array:
    """Return an equal array with gaps between its numbers."""
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def _difference(got: Array, expected: Array, rtol: float) -> str:
    """Say where two arrays differ most, "" if they are close."""
    if got.shape != expected.shape:
        return f"shape {got.shape}, expected {expected.shape}"
    gap = np.abs(np.asarray(got, np.float64) - expected)
    scale = float(np.max(np.abs(expected), initial=0.0))
    wrong = ~(gap <= rtol * scale + 1e-12)
    if not wrong.any():
        return ""
    index = tuple(map(int, np.unravel_index(int(np.argmax(np.where(wrong, gap, -1.0))), gap.shape)))
    return f"{got[index]:.8g} at {list(index)}, expected {expected[index]:.8g}"
