"""Loading changes all or nothing, and nothing that is given is lost on the way."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import elunet as eln
from elunet.storage.weights import network_arrays

X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def net(seed=0):
    return eln.Sequential([eln.layers.Linear(3, 4), eln.layers.Linear(4, 2)], seed=seed)


def arrays(one):
    return {name: value.copy() for name, value in one.parameters().items()}


def same(one, before):
    return all(np.array_equal(value, before[name]) for name, value in one.parameters().items())


@pytest.mark.parametrize("locked", ["linear1.W", "linear2.W", "linear2.b"])
def test_load_into_a_net_with_one_read_only_parameter(tmp_path, locked):
    eln.save(net(1), tmp_path / "net.safetensors")
    one = net()
    one.parameters()[locked].flags.writeable = False
    before = arrays(one)
    with pytest.raises(ValueError, match=f"got {locked} read-only"):
        eln.load(one, tmp_path / "net.safetensors")
    assert same(one, before)


@pytest.mark.parametrize("locked", ["linear1.W", "linear2.b"])
def test_from_torch_into_a_net_with_one_read_only_parameter(locked):
    one, given = net(), eln.exchange.to_torch(net(1))
    one.parameters()[locked].flags.writeable = False
    before = arrays(one)
    with pytest.raises(ValueError, match=f"{locked} to be writable, got a read-only array"):
        eln.exchange.from_torch(one, given)
    assert same(one, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_from_torch_takes_no_nan(bad):
    one, given = net(), eln.exchange.to_torch(net(1))
    given["linear2.bias"][1] = bad
    before = arrays(one)
    with pytest.raises(ValueError, match=r"linear2.bias.*expected finite numbers"):
        eln.exchange.from_torch(one, given)
    assert same(one, before)


@pytest.mark.parametrize("bad", [np.nan, 1e300])
def test_to_onnx_writes_no_nan_and_no_infinity(tmp_path, bad):
    pytest.importorskip("onnx")
    one = net()
    one["linear2"].params["b"] = np.array([0.0, bad])
    with pytest.raises(ValueError, match="within float32's range, got .* in linear2.b"):
        eln.exchange.to_onnx(one, (3,), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "layer",
    [
        eln.layers.ELU(1e300),
        eln.layers.LeakyReLU(1e300),
        eln.layers.ClippedReLU(1e300),
        eln.layers.HardTanh(-1e300, 1.0),
        eln.layers.BatchNorm(3, eps=1e300),
    ],
)
def test_to_onnx_makes_no_infinity_of_a_layers_number(tmp_path, layer):
    pytest.importorskip("onnx")
    name = f"{type(layer).__name__.lower()}1"
    with pytest.raises(ValueError, match=f"within float32's range, got .* in {name}"):
        eln.exchange.to_onnx(eln.Sequential([layer]), (1, 1, 3), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_from_torch_that_runs_out_of_memory_changes_nothing(monkeypatch):
    one = net()
    given = {name: array.astype(float) for name, array in eln.exchange.to_torch(net(1)).items()}
    before, copies = arrays(one), iter(range(3))

    def full(*arguments, array=np.array, **named):
        if next(copies) == 2:
            raise MemoryError
        return array(*arguments, **named)

    monkeypatch.setattr(np, "array", full)
    with pytest.raises(MemoryError):
        eln.exchange.from_torch(one, given)
    assert same(one, before)


def test_rows_with_too_many_or_too_few_cells(tmp_path):
    history = eln.History([eln.Epoch(1, 0.1, 2.0, 0.1, 2.1, 0.2, 0.0, 0.0, 1.0, 100.0)])
    good = history.to_text()
    head, row = good.splitlines()
    file = tmp_path / "history.csv"
    for line, text in ((f"1,{row}", "expected .* cells in line 2"), (row[2:], "line 2")):
        file.write_text(f"{head}\n{line}\n")
        with pytest.raises(ValueError, match=text):
            eln.History.from_csv(file)


MASKED = np.ma.masked_array(X, X > 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: net().forward(MASKED),
        lambda: eln.layers.ELU().forward(MASKED),
        lambda: eln.layers.Linear(3, 2).forward(MASKED),
        lambda: eln.layers.Add().forward((X, MASKED)),
        lambda: eln.losses.MeanSquaredError()(MASKED, X),
        lambda: eln.losses.MeanSquaredError()(X, MASKED),
        lambda: eln.losses.SoftmaxCrossEntropy()(MASKED, [0, 1, 2, 0]),
        lambda: eln.losses.SoftmaxCrossEntropy()(X, np.ma.masked_equal([0, 1, 2, 0], 2)),
        lambda: eln.data.Batches(MASKED, np.zeros(4, int), 2),
        lambda: eln.exchange.from_torch(net(), dict.fromkeys(eln.exchange.to_torch(net()), MASKED)),
        lambda: eln.exchange.from_keras(net(), [MASKED] * 4),
        lambda: eln.routers.FeedbackAlignment(B={"linear1": MASKED}),
        lambda: eln.layers.Linear(4, 3, init=lambda rng, shape: MASKED),
        lambda: eln.plots.confusion(np.ma.masked_equal([0, 1], 1), [0, 1]),
        lambda: eln.data.split(X, np.ma.masked_equal([0, 1, 2, 0], 2), 0.5),
    ],
)
def test_a_mask_is_refused_and_not_lost(call):
    with pytest.raises(TypeError, match="without a mask, which would be lost, got a masked array"):
        call()


def test_a_masked_weight_is_refused():
    layer = eln.layers.Linear(4, 3)
    layer.forward(X @ X.T, train=True)
    with pytest.raises(ValueError, match=r"expected weight .*, got float32 of shape .*, masked"):
        layer.backward_input(X, weight=MASKED)
    layer.params["W"] = MASKED
    with pytest.raises(ValueError, match=r'expected params\["W"\] .*, masked'):
        layer.forward(X @ X.T)
    layer.grads = {"W": X, "b": X[0]}
    with pytest.raises(TypeError, match=r"SGD: expected 'linear1.W' without a mask"):
        eln.optim.SGD(0.1).step(eln.Sequential([layer]))


def test_other_subclasses_of_arrays_are_taken(tmp_path):
    file = np.memmap(tmp_path / "x", np.float32, "w+", shape=X.shape)
    file[...] = X
    np.testing.assert_array_equal(net().forward(file), net().forward(X))


def averaged():
    layers = [eln.layers.Linear(3, 4), eln.layers.BatchNorm(4), eln.layers.Linear(4, 2)]
    one = eln.Sequential(layers, seed=0)
    average = eln.WeightAverage()
    trainer = eln.Trainer(
        one, eln.losses.MeanSquaredError(), eln.optim.SGD(0.1), callbacks=[average]
    )
    trainer.fit((X, X[:, :2]), epochs=2)
    other = eln.Sequential([copy.deepcopy(layer) for layer in one], seed=1)
    return average, other


def everything(one):
    return {n: a.copy() for n, a in network_arrays(one).items()}


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (X[:1], "at least 2 examples"),
        (X[:, :2], "expected x of shape"),
        (X.astype(int), "float32 or float64"),
        (np.full_like(X, np.nan), "finite statistics, got a NaN or an infinity in batchnorm1"),
        (np.concatenate([X, X * np.inf]), "finite statistics"),
    ],
)
def test_averages_are_put_in_all_or_none(x, text):
    average, one = averaged()
    one["linear1"].params["W"] += 1
    before = everything(one)
    with np.errstate(invalid="ignore"), pytest.raises((TypeError, ValueError), match=text):
        average.put_into(one, x, batch_size=4)
    after = everything(one)
    assert all(np.array_equal(after[name], array) for name, array in before.items())


@pytest.mark.parametrize("locked", ["linear1.b", "batchnorm1.beta", "linear2.b"])
def test_averages_into_a_net_with_one_read_only_parameter(locked):
    average, one = averaged()
    one["linear1"].params["W"] += 1
    one.parameters()[locked].flags.writeable = False
    before = everything(one)
    with pytest.raises(ValueError, match="read-only"):
        average.put_into(one, X)
    after = everything(one)
    assert all(np.array_equal(after[name], array) for name, array in before.items())


@pytest.mark.parametrize(
    "state",
    [
        {"count": 2, "averages": {"linear1.W": np.full((3, 4), np.nan)}},
        {"count": 0, "averages": {"linear1.W": np.ones((3, 4))}},
        {"count": 2, "averages": {}},
    ],
)
def test_averages_that_make_no_sense_are_not_restored(state):
    average, _ = averaged()
    before = average.state()
    with pytest.raises(ValueError, match="expected finite averages of as many"):
        average.restore(state)
    assert average.count == before["count"]
    assert average.averages.keys() == before["averages"].keys()


@pytest.mark.parametrize(
    "best", [{"other.W": np.ones(2)}, {"linear1.W": np.full((3, 4), np.nan, np.float32)}]
)
def test_best_weights_of_another_network_are_refused_before_the_first_step(best):
    """Not at the end, when they would be put in."""
    stopping = eln.EarlyStopping("train_loss", restore_best=True)
    one = net()
    trainer = eln.Trainer(
        one, eln.losses.MeanSquaredError(), eln.optim.SGD(0.1), callbacks=[stopping]
    )
    data = X, X[:, :2].copy()
    trainer.fit(data, epochs=1)
    trainer.position.begun = 0  # as if it had been cut
    stopping.restore({**stopping.state(), "weights": {**stopping.state()["weights"], **best}})
    before = arrays(one)
    with pytest.raises(ValueError, match="EarlyStopping: expected"):
        trainer.fit(data, epochs=2)
    assert same(one, before)
