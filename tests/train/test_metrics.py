"""R2, RMSE, and the callback that takes measures."""

from __future__ import annotations

import numpy as np
import pytest
from small_runs import Stop

import elunet as eln
from elunet.train import Metrics, r2, rmse


def test_values_agree_with_sklearn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for shape in [(20,), (20, 1), (20, 3)]:
        t = rng.normal(size=shape)
        x = t + rng.normal(size=shape)
        assert r2(x, t) == pytest.approx(metrics.r2_score(t, x), rel=1e-12)
        assert rmse(x, t) == pytest.approx(metrics.mean_squared_error(t, x) ** 0.5, rel=1e-12)


def test_values_by_hand():
    assert r2(np.array([[1.0], [3.0]]), np.array([1, 2])) == pytest.approx(1 - 1 / 0.5)
    assert rmse(np.array([[1.0], [3.0]]), np.array([1, 2])) == pytest.approx(0.5**0.5)
    constant = np.ones(3)
    assert r2(constant, constant) == 1.0
    assert r2(constant + 1, constant) == 0.0
    with pytest.raises(ValueError, match=r"r2: expected prediction and target of one shape, got"):
        r2(np.ones((3, 2)), np.ones(3))


def fit(*callbacks):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    y = (x @ [[1.0], [2.0], [-1.0]]).astype(np.float32)
    net = eln.Sequential([eln.layers.Linear(3, 1)], seed=0)
    trainer = eln.Trainer(
        net,
        eln.losses.MeanSquaredError(),
        eln.optim.SGD(0.1),
        batch_size=10,
        callbacks=callbacks,
    )
    return trainer, lambda: trainer.fit((x[:30], y[:30]), (x[30:], y[30:]), epochs=5)


def test_one_row_for_each_epoch():
    metrics = Metrics(r2=r2, rmse=rmse, worst=lambda x, t: abs(x - t).max())
    _, run = fit(metrics)
    history = run()
    assert len(metrics.rows) == 5
    for row, epoch in zip(metrics.rows, history, strict=True):
        assert row["rmse"] ** 2 == pytest.approx(epoch.validation_loss, rel=1e-5)
        assert row["worst"] >= row["rmse"]
    assert metrics.rows[-1]["r2"] > 0.9


def test_rows_are_resumed(tmp_path):
    whole = Metrics(rmse=rmse, nothing=lambda x, t: float("nan"))
    fit(whole)[1]()
    _, run = fit(
        Metrics(rmse=rmse, nothing=whole.measures["nothing"]), eln.Checkpoints(tmp_path), Stop(8)
    )
    with pytest.raises(eln.Interrupted):
        run()
    resumed = Metrics(rmse=rmse, nothing=whole.measures["nothing"])
    trainer, run = fit(resumed)
    trainer.resume(tmp_path)
    run()
    assert repr(resumed.rows) == repr(whole.rows)


def test_it_needs_validation_data():
    trainer, _ = fit(Metrics(rmse=rmse))
    x = np.ones((4, 3), np.float32)
    with pytest.raises(ValueError, match="Metrics: expected validation data in fit, got none"):
        trainer.fit((x, x[:, :1]))
    with pytest.raises(TypeError):
        Metrics().restore([3])
