"""Augmentations against simple loops, and what they promise about their draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.data import (
    Batches,
    ColorJitter,
    Compose,
    Cutout,
    Mixup,
    RandomErase,
    make_shapes,
    pad_crop_flip,
)


def reference(x, top, left, flip, pad):
    """One image at a time, with np.pad and slices."""
    out = np.empty_like(x)
    for i, image in enumerate(x):
        padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
        height, width = image.shape[:2]
        window = padded[top[i] : top[i] + height, left[i] : left[i] + width]
        out[i] = window[:, ::-1] if flip[i] else window
    return out


@given(
    n=st.integers(0, 6),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    channels=st.integers(1, 4),
    pad=st.integers(0, 5),
    dtype=st.sampled_from([np.uint8, np.float32, np.float64]),
    seed=st.integers(0, 1000),
)
def test_equals_a_plain_loop(n, height, width, channels, pad, dtype, seed):
    x = np.random.default_rng(seed).integers(1, 255, (n, height, width, channels)).astype(dtype)
    kept = x.copy()
    out = pad_crop_flip(x, np.random.default_rng(seed), pad)
    rng = np.random.default_rng(seed)
    top, left = rng.integers(0, 2 * pad + 1, (2, n))
    flip = rng.random(n) < 0.5
    np.testing.assert_array_equal(out, reference(x, top, left, flip, pad))
    assert out.dtype == dtype
    assert out.flags.c_contiguous
    assert not np.shares_memory(out, x)
    np.testing.assert_array_equal(x, kept)


def test_layout_of_the_input_does_not_matter():
    x = np.random.default_rng(0).random((5, 8, 8, 3))
    wanted = pad_crop_flip(x, np.random.default_rng(1))
    fixed = x.copy()
    fixed.flags.writeable = False
    for same in (np.asfortranarray(x), x[:, ::-1].copy()[:, ::-1], fixed):
        np.testing.assert_array_equal(pad_crop_flip(same, np.random.default_rng(1)), wanted)


def test_without_padding_an_image_stays_or_is_mirrored():
    x = np.random.default_rng(0).random((200, 4, 5, 2))
    out = pad_crop_flip(x, np.random.default_rng(0), pad=0)
    stays = (out == x).all(axis=(1, 2, 3))
    mirrored = (out == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (stays ^ mirrored).all()
    assert 60 < stays.sum() < 140


def test_without_flip_no_image_is_mirrored():
    x = np.arange(36.0).reshape(1, 6, 6, 1).repeat(50, axis=0)
    np.testing.assert_array_equal(pad_crop_flip(x, np.random.default_rng(0), 0, flip=False), x)
    same, mirrored = (pad_crop_flip(x, np.random.default_rng(0), 2, flip) for flip in (False, True))
    turned = (same != mirrored).any(axis=(1, 2, 3))
    assert 10 < turned.sum() < 40  # the same shifts are drawn
    np.testing.assert_array_equal(same[turned], mirrored[turned][:, :, ::-1])


def test_all_shifts_occur_equally_often():
    x = np.zeros((8100, 17, 17, 1), np.uint8)
    x[:, 8, 8] = 1
    where = pad_crop_flip(x, np.random.default_rng(0)).sum(axis=0)[4:13, 4:13, 0]
    assert where.sum() == len(x)
    assert where.min() > 60
    assert where.max() < 145


def test_errors():
    x, rng = np.zeros((2, 8, 8, 3)), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"expected x of shape \(N, H, W, C\), got \(8, 8, 3\)"):
        pad_crop_flip(x[0], rng)
    with pytest.raises(TypeError, match="expected rng to be a numpy Generator, got 0"):
        pad_crop_flip(x, 0)
    with pytest.raises(ValueError, match="expected pad of at least 0, got -1"):
        pad_crop_flip(x, rng, -1)
    for pad in (True, 1.5):
        with pytest.raises(TypeError, match="expected pad as an integer"):
            pad_crop_flip(x, rng, pad)


def images(n=6, height=7, width=9, channels=3, dtype=np.float32, seed=0):
    x = np.random.default_rng(seed).uniform(0.1, 0.9, (n, height, width, channels))
    return (255 * x).astype(dtype) if dtype == np.uint8 else x.astype(dtype)


CHANGES = [
    Cutout(3),
    RandomErase(),
    RandomErase(1.0, (0.1, 0.1), (1.0, 1.0), fill=0.5),
    ColorJitter(0.3, 0.4, 0.5),
    Compose(pad_crop_flip, Cutout(2)),
]


@pytest.mark.parametrize("augment", CHANGES, ids=lambda change: type(change).__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_seed_is_all_that_a_change_depends_on(augment, dtype):
    x = images(dtype=dtype)
    kept = x.copy()
    out = augment(x, np.random.default_rng(1))
    assert out.shape == x.shape
    assert out.dtype == dtype
    assert not np.shares_memory(out, x)
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(augment(x, np.random.default_rng(1)), out)
    assert not np.array_equal(augment(x, np.random.default_rng(2)), out)
    assert augment(x[:0], np.random.default_rng(1)).shape == (0, 7, 9, 3)
    with pytest.raises(ValueError, match=r"expected x of shape \(N, H, W, C\), got \(7, 9, 3\)"):
        augment(x[0], np.random.default_rng(1))
    with pytest.raises(TypeError, match="expected rng to be a numpy Generator"):
        augment(x, 3)


@given(size=st.integers(1, 12), seed=st.integers(0, 1000))
def test_cutout_is_a_square_around_its_center(size, seed):
    x = images()
    out = Cutout(size)(x, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    top, left = rng.integers(0, 7, 6) - size // 2, rng.integers(0, 9, 6) - size // 2
    for i, image in enumerate(x):
        expected = image.copy()
        expected[max(top[i], 0) : top[i] + size, max(left[i], 0) : left[i] + size] = 0
        np.testing.assert_array_equal(out[i], expected)


@given(seed=st.integers(0, 1000), probability=st.sampled_from([0.0, 0.5, 1.0]))
def test_erased_rectangles_have_the_size_that_was_asked_for(seed, probability):
    x = images(20, 30, 40)
    erase = RandomErase(probability, area=(0.1, 0.2), ratio=(0.5, 2.0), fill=7.0)
    out = erase(x, np.random.default_rng(seed))
    changed = 0
    for image, before in zip(out, x, strict=True):
        erased = (image == 7).all(axis=2)
        np.testing.assert_array_equal(image[~erased], before[~erased])
        if erased.any():
            changed += 1
            rows, columns = np.flatnonzero(erased.any(axis=1)), np.flatnonzero(erased.any(axis=0))
            assert erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            assert erased.sum() == len(rows) * len(columns)
            assert 0.08 <= erased.mean() <= 0.23  # sides are rounded
            assert 0.4 <= len(rows) / len(columns) <= 2.5
    assert {0.0: changed == 0, 1.0: changed == 20, 0.5: 2 <= changed <= 18}[probability]


def test_erasing_with_noise():
    out = RandomErase(1.0, (0.9, 1.0), (1.0, 1.0))(
        np.full((50, 20, 20, 3), 9.0, np.float32), np.random.default_rng(0)
    )
    noise = out[out != 9]
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    with pytest.raises(
        TypeError, match="RandomErase: expected x of a float dtype, or a value for fill, got uint8"
    ):
        RandomErase()(images(dtype=np.uint8), np.random.default_rng(0))


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colors_agree_with_pillow(name):
    """One factor at a time, on images of bytes; Pillow rounds the mean gray, and cuts."""
    enhance = pytest.importorskip("PIL.ImageEnhance")
    image = pytest.importorskip("PIL.Image")
    kind = {"brightness": "Brightness", "contrast": "Contrast", "saturation": "Color"}[name]
    x = images(8, dtype=np.uint8)
    out = ColorJitter(**{name: 0.6})(x, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    for other in ("brightness", "contrast", "saturation"):
        factors = rng.uniform(1 - 0.6, 1 + 0.6, 8) if other == name else rng.uniform(1, 1, 8)
        if other == name:
            break
    for i in range(8):
        expected = getattr(enhance, kind)(image.fromarray(x[i])).enhance(factors[i])
        assert np.abs(np.asarray(expected, int) - out[i]).max() <= 1 + (name != "brightness")


def test_colors_stay_in_range():
    for dtype, top in ((np.uint8, 255), (np.float32, 1.0)):
        out = ColorJitter(1.0, 1.0, 1.0)(images(50, dtype=dtype), np.random.default_rng(0))
        assert out.dtype == dtype
        assert 0 <= out.min() <= out.max() <= top
    same = images()
    np.testing.assert_allclose(ColorJitter()(same, np.random.default_rng(0)), same)
    for wrong in (images() * 3, images() - 1, images().astype(int)):
        with pytest.raises(ValueError, match="of dtype uint8, or floats in"):
            ColorJitter(0.1)(wrong, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"of shape \(N, H, W, 3\), got \(6, 7, 9, 1\)"):
        ColorJitter(0.1)(images(channels=1), np.random.default_rng(0))


def test_mixup_mixes_images_and_labels_alike():
    x, y = images(), np.array([0, 1, 2, 0, 1, 2])
    mixed, rows = Mixup(3, alpha=1.0)(x, y, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    share, order = rng.beta(1.0, 1.0), rng.permutation(6)
    np.testing.assert_allclose(mixed, share * x + (1 - share) * x[order], rtol=1e-6)
    np.testing.assert_allclose(
        rows, share * np.eye(3)[y] + (1 - share) * np.eye(3)[y[order]], rtol=1e-6
    )
    assert mixed.dtype == x.dtype
    assert rows.dtype == np.float32
    again, same = Mixup(3, alpha=1.0)(x, np.eye(3)[y], np.random.default_rng(0))
    np.testing.assert_array_equal(again, mixed)
    np.testing.assert_allclose(same, rows)
    for wrong, text in (
        ([0, 1, 2, 3, 0, 0], "labels in 0..2, got 0 to 3"),
        (y[:5], r"got \(5, 3\)"),
    ):
        with pytest.raises(ValueError, match=text):
            Mixup(3)(x, np.array(wrong), np.random.default_rng(0))
    with pytest.raises(TypeError, match="Mixup: expected x of a float dtype, got uint8"):
        Mixup(3)(images(dtype=np.uint8), y, np.random.default_rng(0))


def test_batches_mix_targets():
    x, y = make_shapes(25, seed=0)
    x = x.astype(np.float32)
    augment = Compose(pad_crop_flip, Mixup(10))
    assert augment.with_targets
    batches = Batches(x, y, batch_size=10, seed=0, augment=augment)
    seen = list(batches)
    assert [b.shape for _, b in seen] == [(10, 10), (10, 10), (5, 10)]
    other = Batches(x, y, batch_size=10, seed=0, augment=augment)
    next(iterator := iter(other))
    state = other.state()
    resumed = Batches(x, y, batch_size=10, seed=9, augment=augment)
    resumed.restore(state)
    np.testing.assert_array_equal(next(iter(resumed))[1], seen[1][1])
    iterator.close()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Cutout(0), ValueError, "Cutout: expected size of at least 1"),
        (lambda: RandomErase(2.0), ValueError, "RandomErase: expected probability in"),
        (lambda: RandomErase(area=(0.5, 0.1)), ValueError, r"expected area as \(low, high\)"),
        (lambda: RandomErase(ratio=(0.0, 1.0)), ValueError, r"expected ratio\[0\] in"),
        (lambda: ColorJitter(contrast=-0.1), ValueError, "ColorJitter: expected contrast in"),
        (lambda: Mixup(3, 0.0), ValueError, "Mixup: expected alpha in"),
        (lambda: Compose(), TypeError, "Compose: expected augmentations, got"),
        (
            lambda: Compose(pad_crop_flip, 3),
            TypeError,
            "Compose: expected augmentations to be callable",
        ),
    ],
)
def test_arguments_out_of_range(make, error, text):
    with pytest.raises(error, match=text):
        make()
