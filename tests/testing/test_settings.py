"""Settings that fit a dtype, values that are moved, and what a wrong row keeps."""

import numpy as np
import pytest
from causes import causes, draw
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from elunet.testing._compare.differences import compare_gradient
from elunet.testing._compare.probe import Target
from elunet.testing._compare.settings import Settings
from elunet.testing._diagnose import number_text
from elunet.testing._perturb.moves import moved, only_while, real


@given(
    arrays.arrays(
        np.float64,
        arrays.array_shapes(max_side=4),
        elements=st.one_of(
            st.sampled_from([0.0, 1.0, -1.0]), st.floats(-100, 100, allow_subnormal=False)
        ),
    ),
    st.integers(0, 1000),
)
def test_every_entry_moves(value, seed):
    there = moved(value, np.random.default_rng(seed))
    largest = np.max(np.abs(value)) or 1.0
    if np.all(value > 0):
        assert np.all(there > 0)
        assert np.all(there != value)
    else:
        gap = np.abs(there - value)
        assert np.all(gap >= 0.0999 * largest)
        assert np.all(gap <= 0.3001 * largest)
    assert there.dtype == value.dtype


def test_integers_do_not_move_and_float32_stays():
    rng = np.random.default_rng(0)
    index = np.array([1, 2])
    assert moved(index, rng) is not index
    np.testing.assert_array_equal(moved(index, rng), index)
    assert moved(np.zeros(3, np.float32), rng).dtype == np.float32


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.ones(3), "v is 1"),
        (np.zeros((2, 2)), "v is 0"),
        (-np.ones(2), "v is -1"),
        (np.full(3, 0.5), "all entries of v are equal"),
        (np.array(0.5), ""),
        (np.eye(3), "v holds only 0 and 1"),
        (np.arange(3.0), ""),
        (np.ones(0), ""),
    ],
)
def test_what_is_special_about_a_value(value, words):
    assert only_while("v", value) == words


def test_settings_that_fit_a_dtype():
    assert Settings.fitting("check") == Settings()
    single = Settings.fitting("check", np.float32, rtol=0.5)
    assert (single.eps, single.rtol, single.atol) == (1e-2, 0.5, 1e-3)
    assert single.machine == np.finfo(np.float32).eps
    with pytest.raises(ValueError, match="check: expected dtype float64 or float32, got int64"):
        Settings.fitting("check", np.int64)
    with pytest.raises(ValueError, match="check: expected eps in"):
        Settings.fitting("check", eps=-1.0)
    assert real([1, 2], "x", np.float32).dtype == np.float32


def single_dense(x, W, b):
    assert {x.dtype, W.dtype, b.dtype} == {np.dtype(np.float32)}
    return np.tanh(x @ W + b)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: d, {}),
        (lambda d: 2 * d, {"db": "analytic = 2 x numeric everywhere: a square's derivative, or a"}),
        (lambda d: d / 6, {"db": "analytic = 1/6 x numeric everywhere"}),
        (lambda d: 1.05 * d, {"db": "analytic = "}),
    ],
)
@pytest.mark.parametrize("seed", range(10))
def test_float32(change, expected, seed):
    """Correct gradients pass in float32, wrong ones are caught and explained."""
    values = {n: v.astype(np.float32) for n, v in draw(seed, x=(6, 5), W=(5, 4), b=(4,)).items()}

    def backward(dy, y, x, W, b):
        d = (dy * (1 - y**2)).astype(np.float32)
        return {"x": d @ W.T, "W": x.T @ d, "b": change(d.sum(axis=0))}

    settings = Settings.fitting("check", np.float32)
    found = causes(single_dense, backward, values, settings=settings)
    assert found.keys() == expected.keys()
    for name, text in expected.items():
        assert found[name].startswith(text)


def test_float32_with_larger_sums():
    values = {n: v.astype(np.float32) for n, v in draw(x=(20, 60), W=(60, 9), b=(9,)).items()}

    def backward(dy, y, x, W, b):
        d = (dy * (1 - y**2)).astype(np.float32)
        return {"x": d @ W.T, "W": x.T @ d, "b": d.sum(axis=0)}

    settings = Settings.fitting("check", np.float32, entries=100)
    assert causes(single_dense, backward, values, settings=settings) == {}


def test_a_wrong_row_keeps_the_error_of_every_entry():
    x, dy = np.arange(1.0, 7.0).reshape(2, 3), np.ones((2, 3))
    wrong = 2 * x
    wrong[1, 2] += 0.5
    row = compare_gradient("f", Target("dx", "x", x, wrong, lambda v: v**2), dy, Settings())
    assert row.errors.shape == (2, 3)
    assert row.errors[1, 2] == pytest.approx(0.5)
    assert np.max(row.errors.reshape(-1)[:-1]) < 1e-6
    right = compare_gradient("f", Target("dx", "x", x, 2 * x, lambda v: v**2), dy, Settings())
    assert right.errors is None


def test_entries_that_were_not_compared_are_marked():
    x = np.random.default_rng(0).standard_normal(3000)
    target = Target("dx", "x", x, 3 * x, lambda v: v**2)
    row = compare_gradient("f", target, np.ones(3000), Settings(entries=20))
    assert np.sum(np.isfinite(row.errors)) == row.checked < 3000


def test_a_coarse_number_is_not_taken_for_a_fraction():
    assert number_text(1.05) == "21/20"
    assert number_text(1.05, 1e-3) == "1.05"
    assert number_text(2.0004, 1e-3) == "2"
    assert number_text(1.7323, 1e-3) == "1.732"
