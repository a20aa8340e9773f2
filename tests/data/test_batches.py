"""Batches cover the data once an epoch, and a run continues from a state bit for bit; split."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.data import Batches, _checks, pad_crop_flip, split


def numbered(n):
    return np.arange(n, dtype=np.float32).reshape(n, 1), np.arange(n)


def images(n):
    return np.random.default_rng(n).random((n, 6, 6, 2), np.float32), np.arange(n) % 10


def same(a, b):
    assert len(a) == len(b)
    for (xa, ya), (xb, yb) in zip(a, b, strict=True):
        np.testing.assert_array_equal(xa, xb)
        np.testing.assert_array_equal(ya, yb)


@given(st.integers(1, 40), st.integers(1, 50), st.booleans(), st.integers(0, 99))
def test_an_epoch_gives_each_example_once(n, batch_size, shuffle, seed):
    x, y = numbered(n)
    batches = Batches(x, y, batch_size, shuffle, seed)
    for epoch in range(3):
        assert batches.epoch == epoch
        got = list(batches)
        assert len(got) == len(batches)
        assert [len(part) for part, _ in got[:-1]] == [batch_size] * (len(batches) - 1)
        labels = np.concatenate([part for _, part in got])
        np.testing.assert_array_equal(np.sort(labels), y)
        np.testing.assert_array_equal(np.concatenate([part for part, _ in got])[:, 0], labels)
        if not shuffle:
            np.testing.assert_array_equal(labels, y)


def test_each_epoch_and_each_seed_has_an_order_of_its_own():
    def order(batches):
        return tuple(np.concatenate([y for _, y in batches]).tolist())

    batches = Batches(*numbered(50))
    orders = {order(batches) for _ in range(5)} | {order(Batches(*numbered(50), seed=1))}
    assert len(orders) == 6
    assert order(Batches(*numbered(50))) in orders


def test_dtype_is_kept_and_batches_are_copies():
    for dtype in (np.uint8, np.float32, np.float64):
        x = np.zeros((7, 2, 2, 1), dtype)
        batches = Batches(x, np.zeros(7, int), 3, shuffle=False)
        assert batches.x is x
        for part, _ in batches:
            assert part.dtype == dtype
            part[:] = 1
        assert not x.any()


def test_works_on_read_only_and_strided_arrays_and_one_hot_labels():
    x, _ = numbered(20)
    x.flags.writeable = False
    got = list(Batches(x[::-2], np.eye(10), 4, shuffle=False))
    np.testing.assert_array_equal(got[0][0][:, 0], [19, 17, 15, 13])
    np.testing.assert_array_equal(got[1][1], np.eye(10)[4:8])


def test_order_does_not_depend_on_augmentation_nor_on_global_state():
    x, y = images(30)
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    expected = list(Batches(x, y, 8))
    augmented = list(Batches(x, y, 8, augment=pad_crop_flip))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    for (xa, ya), (xb, yb) in zip(expected, augmented, strict=True):
        np.testing.assert_array_equal(ya, yb)
        assert not np.array_equal(xa, xb)


@pytest.mark.parametrize("seed", [3, np.random.SeedSequence(3), np.random.default_rng(3), None])
def test_kinds_of_seed(seed):
    batches = Batches(*numbered(20), 7, seed=seed)
    assert sum(len(y) for _, y in batches) == 20


def test_a_plain_seed_has_a_domain_of_its_own():
    children = np.random.SeedSequence(0).spawn(2)
    expected = np.arange(100)
    np.random.default_rng(children[0]).shuffle(expected)
    ((_, ours),) = Batches(*numbered(100), 100, seed=0)
    assert not np.array_equal(ours, expected)


@given(st.integers(0, 11), st.booleans(), st.booleans())
def test_a_restored_run_equals_an_uninterrupted_one(cut, shuffle, augmented):
    x, y = images(17)
    augment = pad_crop_flip if augmented else None

    def make(seed):
        return Batches(x, y, 5, shuffle, seed, augment)  # 4 batches an epoch

    def run(batches, count):
        got = []
        while len(got) < count:
            for batch in batches:
                got.append(batch)
                if len(got) == count:
                    break
        return got

    first, whole = make(0), run(make(0), 12)
    start = run(first, cut)
    state = json.loads(json.dumps(first.state()))
    second = make(1)
    second.restore(state)
    assert (second.epoch, second.position) == (first.epoch, first.position)
    same(start + run(second, 12 - cut), whole)


def test_restore_on_the_same_object_repeats():
    x, y = images(17)
    batches = Batches(x, y, 5, augment=pad_crop_flip)
    list(batches)
    state = batches.state()
    first = list(batches)
    batches.restore(state)
    same(list(batches), first)


def test_leaving_early_begins_a_new_epoch():
    batches = Batches(*numbered(20), 5)
    (_, first), *_ = zip(batches, range(1), strict=False)
    del first
    assert (batches.epoch, batches.position) == (0, 2)
    assert len(list(batches)) == 4
    assert (batches.epoch, batches.position) == (2, 0)


def test_one_iteration_at_a_time():
    batches = Batches(*numbered(20), 5)
    old = iter(batches)
    next(old)
    next(iter(batches))
    with pytest.raises(RuntimeError, match="expected one iteration at a time"):
        next(old)
    old = iter(batches)
    next(old)
    batches.restore(batches.state())
    with pytest.raises(RuntimeError, match="or a restore"):
        next(old)


def test_restore_refuses_what_does_not_fit_and_changes_nothing():
    x, y = images(17)
    batches = Batches(x, y, 5)
    next(iter(batches))
    kept = batches.state()

    def refuses(error, match, **changes):
        with pytest.raises(error, match=match):
            batches.restore({**kept, **changes})
        assert batches.state() == kept

    refuses(ValueError, "expected state with examples 17, got 18", examples=18)
    refuses(ValueError, "expected state with batch_size 5, got 6", batch_size=6)
    refuses(ValueError, "expected state with shuffle True, got False", shuffle=False)
    refuses(TypeError, "expected epoch as an integer, got 'x'", epoch="x")
    refuses(ValueError, "expected position of at least 0, got -1", position=-1)
    refuses(ValueError, "expected position <= 4, got 5", position=5)
    refuses(ValueError, "expected order_rng to be a state of PCG64", order_rng={"a": 1})
    other = np.random.Generator(np.random.MT19937(0)).bit_generator.state
    refuses(ValueError, "expected augment_rng to be a state of PCG64", augment_rng=other)
    with pytest.raises(ValueError, match=r"expected state with \['epoch'\]"):
        batches.restore({name: value for name, value in kept.items() if name != "epoch"})
    with pytest.raises(TypeError, match="expected state as state"):
        batches.restore([1])
    assert batches.state() == kept


def test_errors():
    x, y = numbered(10)
    with pytest.raises(ValueError, match=r"equal length, got shapes \(10, 1\) and \(9,\)"):
        Batches(x, y[:9])
    with pytest.raises(ValueError, match=r"got shapes \(\) and \(10,\)"):
        Batches(np.float32(1), y)
    with pytest.raises(ValueError, match="at least one example, got none"):
        Batches(x[:0], y[:0])
    with pytest.raises(ValueError, match="expected batch_size of at least 1, got 0"):
        Batches(x, y, 0)
    with pytest.raises(TypeError, match=r"expected batch_size as an integer, got 10\.0"):
        Batches(x, y, 10.0)
    with pytest.raises(TypeError, match="expected shuffle to be a bool, got 3"):
        Batches(x, y, 5, 3)
    with pytest.raises(TypeError, match="expected seed as an integer, got 'a'"):
        Batches(x, y, seed="a")
    with pytest.raises(ValueError, match="expected seed of at least 0, got -1"):
        Batches(x, y, seed=-1)
    with pytest.raises(TypeError, match="expected augment to be callable, got 1"):
        Batches(x, y, augment=1)
    with pytest.raises(ValueError, match="expected augment to return 4 examples, got 3"):
        next(iter(Batches(x, y, 4, augment=lambda part, rng: part[1:])))


@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 99))
def test_split_puts_each_example_in_one_part(n, fraction, seed):
    x, y = numbered(n)
    if not 0 < round(fraction * n) < n:
        with pytest.raises(ValueError, match="gives each part at least one"):
            split(x, y, fraction, seed)
        return
    (xa, ya), (xb, yb) = split(x, y, fraction, seed)
    assert len(yb) == round(fraction * n)
    np.testing.assert_array_equal(np.sort(np.concatenate([ya, yb])), y)
    np.testing.assert_array_equal(xa[:, 0], ya)
    np.testing.assert_array_equal(xb[:, 0], yb)
    again = split(x, y, fraction, seed)
    np.testing.assert_array_equal(again[1][1], yb)


def test_split_shuffles_by_seed():
    x, y = numbered(100)
    parts = {tuple(split(x, y, 0.2, seed)[1][1].tolist()) for seed in range(5)}
    assert len(parts) == 5


def test_split_errors():
    x, y = numbered(10)
    for fraction in (0, 1.0, 2, -0.1, float("nan"), 0.01):
        with pytest.raises(ValueError, match="expected fraction"):
            split(x, y, fraction)
    for fraction in ("a", True):
        with pytest.raises(TypeError, match="expected fraction to be a number"):
            split(x, y, fraction)
    with pytest.raises(ValueError, match="split: expected x and y of equal length"):
        split(x, y[:3], 0.5)


def test_equal_seeds_draw_different_streams():
    """The generators for splitting, ordering and drawing shapes are independent."""
    drawn = [
        _checks.generators(where, 0, 1)[0].integers(1 << 62)
        for where in ("make_shapes", "split", "Batches")
    ]
    assert len(set(drawn)) == 3
