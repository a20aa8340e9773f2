"""The estimators, by scikit-learn's own checks and as its users use them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import elunet as eln

sklearn = pytest.importorskip("sklearn", minversion="1.6")
from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_digits, load_iris, make_regression  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402


@parametrize_with_checks([eln.Classifier(), eln.Regressor()])  # none is excused
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_a_pipeline_and_a_grid():
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = make_pipeline(
        StandardScaler(), eln.Classifier(optimizer=eln.optim.Adam(1e-2), epochs=20)
    )
    assert cross_val_score(model, X, names, cv=3).mean() > 0.9
    grid = GridSearchCV(
        model,
        {
            "classifier__optimizer": [eln.optim.SGD(1e-6), eln.optim.Adam(1e-2)],
            "classifier__router": [None, eln.routers.FeedbackAlignment()],
        },
        cv=3,
    ).fit(X, names)
    assert grid.best_params_["classifier__optimizer"].lr == 1e-2
    assert set(grid.predict(X)) == set(names)


def test_any_network_for_images():
    X, y = load_digits(return_X_y=True)
    X = (X.reshape(-1, 8, 8, 1) / 16).astype(np.float32)[:600]

    def build(shape, classes):
        L = eln.layers
        conv = [L.Conv2D(shape[2], 8, 3), L.ELU(), L.MaxPool2D(2), L.Flatten()]
        return eln.Sequential([*conv, L.Linear(8 * 16, classes)], seed=0)

    model = eln.Classifier(
        build, optimizer=eln.optim.Adam(1e-2), epochs=20, validation_fraction=0.2
    ).fit(X[:500], y[:500])
    assert model.score(X[500:], y[500:600]) > 0.75  # by chance .1
    assert len(model.history_) == 20
    assert model.history_[-1].validation_accuracy > 0.8
    probabilities = model.predict_proba(X[500:])
    assert probabilities.shape == (100, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    with pytest.raises(ValueError, match=r"expected X of shape \(N, 8, 8, 1\), as in fit, got"):
        model.predict(X.reshape(-1, 8, 4, 2))


def test_the_networks_that_are_given_are_not_trained():
    X, y = load_iris(return_X_y=True)
    net = eln.Sequential([eln.layers.Linear(4, 3), eln.layers.Softmax()], seed=0)
    before = net["linear1"].params["W"].copy()
    optimizer, stopping = eln.optim.Adam(0.05), eln.EarlyStopping(patience=2, min_delta=10.0)
    model = eln.Classifier(
        net,
        eln.losses.CrossEntropy(),
        optimizer,
        callbacks=[stopping],
        validation_fraction=0.3,
        epochs=9,
    )
    again = clone(model)
    assert again.net is not net  # scikit-learn copies
    model.fit(X, y)
    np.testing.assert_array_equal(net["linear1"].params["W"], before)
    assert not np.array_equal(model.net_["linear1"].params["W"], before)
    assert optimizer.steps == 0
    assert stopping.best is None
    assert len(model.history_) == 3
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)


def test_regression_of_several_targets():
    X, y = make_regression(200, 5, n_targets=2, noise=0.1, random_state=0)
    y = y / y.std(axis=0)
    model = eln.Regressor(optimizer=eln.optim.Adam(0.01)).fit(X, y)
    assert model.predict(X).shape == (200, 2)
    assert model.score(X, y) > 0.95
    assert eln.Regressor(epochs=1).fit(X, y[:, 0]).predict(X).shape == (200,)


def test_a_seed_is_all_that_the_result_depends_on():
    X, y = load_iris(return_X_y=True)
    one, other = (eln.Classifier(epochs=3, random_state=5).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    different = eln.Classifier(epochs=3, random_state=6).fit(X, y)
    assert not np.array_equal(one.predict_proba(X), different.predict_proba(X))


def test_weights_of_examples_count():
    X, y = load_iris(return_X_y=True)
    weights = np.where(y == 1, 0.0, 1.0)
    model = eln.Classifier(epochs=30).fit(X, y, sample_weight=weights)
    assert not (model.predict(X) == 1).any()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"epochs": 0}, "Classifier: expected epochs of at least 1"),
        ({"batch_size": 0}, "Classifier: expected batch_size of at least 1"),
        ({"validation_fraction": 1.0}, "Classifier: expected validation_fraction in"),
    ],
)
def test_arguments_out_of_range(arguments, text):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=text):
        eln.Classifier(**arguments).fit(X, y)


def test_outputs_that_do_not_fit():
    X, y = load_iris(return_X_y=True)
    model = eln.Classifier(eln.Sequential([eln.layers.Linear(4, 5)], seed=0), epochs=1).fit(X, y)
    with pytest.raises(ValueError, match=r"a network with outputs \(N, 3\), got \(150, 5\)"):
        model.predict(X)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "elunet.estimators", raising=False)
    with pytest.raises(ImportError, match="expected scikit-learn of 1.6 or newer"):
        eln.Classifier  # noqa: B018


@pytest.mark.parametrize("last", [[], [eln.layers.Softmax()], [eln.layers.LogSoftmax()]])
def test_probabilities_whatever_the_network_ends_in(last):
    X, y = load_iris(return_X_y=True)
    net = eln.Sequential([eln.layers.Linear(4, 3), *last], seed=0)
    loss = eln.losses.SoftmaxCrossEntropy()
    model = eln.Classifier(net, loss, epochs=2).fit(X, y)
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        p, eln.layers.Softmax().forward(model.net_.predict(X)) if not last else p
    )
    assert p.min() >= 0
    np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(X))
