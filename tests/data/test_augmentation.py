"""pad_crop_flip against a simple loop, and what it promises about its draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.data import pad_crop_flip


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
