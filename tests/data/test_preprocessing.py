"""Preprocessing against simple NumPy in float64, and statistics from the training split only."""

from __future__ import annotations

import numpy as np
import pytest

from elunet.data import ZCA, global_contrast_normalize, minmax, preprocessing, standardize


@pytest.fixture(params=["uint8", "float32", "float64"], name="splits")
def _splits(request):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (90, 6, 5, 3)) * np.array([1, 0.5, 0.25])
    x = x.astype(request.param)
    return x[:60], x[60:]


@pytest.fixture(autouse=True, params=[500, 7])
def _several_blocks(request, monkeypatch):
    monkeypatch.setattr(preprocessing, "_BLOCK", request.param)


@pytest.fixture(params=[standardize, minmax, global_contrast_normalize, ZCA], name="function")
def _function(request):
    if request.param is ZCA:
        return lambda x: ZCA().fit(x)(x)
    return request.param


def test_standardize(splits):
    train, test = (x.astype(np.float64) for x in splits)
    mean, std = train.mean((0, 1, 2)), train.std((0, 1, 2))
    a, b = standardize(*splits)
    assert a.dtype == b.dtype == np.float32
    np.testing.assert_allclose(a, (train - mean) / std, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(b, (test - mean) / std, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(standardize(splits[0]), a)
    assert len(standardize(*splits, splits[1])) == 3


def test_standardize_takes_splits_of_other_sizes_and_empty_ones(splits):
    _, b, c = standardize(splits[0], splits[1][:, :2], splits[1][:0])
    assert b.shape == (30, 2, 5, 3)
    assert c.shape == (0, 6, 5, 3)


@pytest.mark.parametrize("value", [0, 1, 0.1, 255])
def test_standardize_constant_channel(value):
    x = np.random.default_rng(0).random((10, 4, 4, 2))
    x[..., 1] = value
    out = standardize(x)
    np.testing.assert_allclose(out[..., 1], 0, atol=1e-12)
    assert abs(out[..., 0].std() - 1) < 1e-5


def test_minmax(splits):
    train, test = (x.astype(np.float64) for x in splits)
    low, high = train.min(0), train.max(0)
    a, b = minmax(*splits)
    assert a.dtype == b.dtype == np.float32
    np.testing.assert_allclose(a, (train - low) / (high - low), rtol=1e-6)
    np.testing.assert_allclose(b, (test - low) / (high - low), rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(a.min(0), 0)
    np.testing.assert_array_equal(a.max(0), 1)
    np.testing.assert_array_equal(minmax(splits[0]), a)


def test_minmax_constant_position(splits):
    train = splits[0].copy()
    train[:, 1, 2, 0] = 7
    out = minmax(train)
    assert (out[:, 1, 2, 0] == 0).all()
    assert np.isfinite(out).all()


def test_global_contrast_normalize(splits):
    x = splits[0].astype(np.float64)
    out = global_contrast_normalize(splits[0], scale=3)
    centered = x - x.mean((1, 2, 3), keepdims=True)
    norm = np.sqrt((centered**2).sum((1, 2, 3), keepdims=True))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, 3 * centered / norm, rtol=1e-5, atol=1e-6)


def test_global_contrast_normalize_flat_image():
    x = np.full((2, 4, 4, 3), 9, np.uint8)
    x[1, 0, 0, 0] = 10
    out = global_contrast_normalize(x)
    assert (out[0] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(out[1]), 55, rtol=1e-6)


def correlated(n):
    rng = np.random.default_rng(1)
    return (rng.standard_normal((n, 48)) @ rng.standard_normal((48, 48)) + 2).reshape(n, 4, 4, 3)


def test_zca_whitens():
    x = correlated(400)
    zca = ZCA(eps=1e-9)
    assert zca.fit(x) is zca
    out = zca(x)
    assert out.dtype == np.float32
    rows = out.reshape(400, 48).astype(np.float64)
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(rows.T @ rows / 400, np.eye(48), atol=2e-3)
    np.testing.assert_array_equal(zca.matrix, zca.matrix.T)
    np.testing.assert_allclose(zca.inverse(out), x, atol=1e-2)


def test_zca_equals_the_formula():
    train, test = correlated(70)[:40], correlated(70)[40:]
    rows = train.reshape(40, 48)
    mean = rows.mean(0)
    _, s, v = np.linalg.svd(rows - mean, full_matrices=True)
    d = np.zeros(48)
    d[:40] = s**2 / 40
    wanted = (test.reshape(30, 48) - mean) @ (v.T / np.sqrt(d + 0.5)) @ v
    got = ZCA(eps=0.5).fit(train)(test)
    np.testing.assert_allclose(got.reshape(30, 48), wanted, rtol=1e-3, atol=1e-4)


def test_zca_errors():
    x = correlated(10)
    with pytest.raises(RuntimeError, match="ZCA: expected a call of fit"):
        ZCA()(x)
    with pytest.raises(RuntimeError, match=r"ZCA\.inverse: expected a call of fit"):
        ZCA().inverse(x)
    with pytest.raises(ValueError, match="expected x with at least 2 images, got 1"):
        ZCA().fit(x[:1])
    zca = ZCA().fit(x)
    with pytest.raises(
        ValueError, match=r"expected x of shape \(N, 4, 4, 3\), got \(10, 4, 2, 3\)"
    ):
        zca(x[:, :, :2])
    for eps in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="ZCA: expected eps in .0, inf."):
            ZCA(eps)
    with pytest.raises(TypeError, match="ZCA: expected eps to be a number"):
        ZCA(None)


def test_input_stays_and_its_layout_does_not_matter(function, splits):
    x = splits[0]
    kept = x.copy()
    wanted = function(x)
    np.testing.assert_array_equal(x, kept)
    fixed = x.copy()
    fixed.flags.writeable = False
    for same in (np.asfortranarray(x), x[::-1].copy()[::-1], fixed):
        np.testing.assert_allclose(function(same), wanted, rtol=1e-4, atol=1e-5)


def test_wrong_arrays(function):
    x = np.zeros((4, 4, 4, 3))
    words = np.array([["1.5", "Rome"], ["2.5", "Bern"]], object)
    with pytest.raises(TypeError, match="got object; convert columns of text to numbers first"):
        standardize(words)
    with pytest.raises(
        ValueError, match=r"got nan at index \(1, 0\); fill in missing values first"
    ):
        standardize(np.array([[1.0], [np.nan]]))
    with pytest.raises(ValueError, match=r"\(N, D\), got \(192,\); reshape it to \(192, 1\)"):
        function(x.ravel())
    with pytest.raises(ValueError, match=r"of shape \(N, H, W, C\), \(N, H, W\) or \(N, D\), got"):
        function(x[None])
    for dtype in (bool, complex, object, "U1"):
        with pytest.raises(TypeError, match="integer or float dtype, got"):
            function(x.astype(dtype))


@pytest.mark.parametrize("function", [standardize, minmax, lambda x: ZCA().fit(x)])
def test_what_cannot_be_fitted(function):
    x = np.random.default_rng(0).random((20, 4, 4, 3))
    with pytest.raises(ValueError, match=r"at least one value, got \(0, 4, 4, 3\)"):
        function(x[:0])
    for value in (np.nan, np.inf, -np.inf):
        bad = x.copy()
        bad[9, 1, 2, 0] = value
        with pytest.raises(ValueError, match=rf"got {value} at index \(9, 1, 2, 0\)"):
            function(bad)


@pytest.mark.parametrize("shape", [(60, 5), (60, 4, 3), (60, 4, 3, 2)])
def test_rows_and_gray_images_keep_their_shape(function, shape):
    x = np.random.default_rng(0).normal(3, 2, shape)
    scaled = function(x)
    assert scaled.shape == shape
    assert scaled.dtype == np.float32
    if len(shape) == 3:
        np.testing.assert_allclose(scaled, function(x[..., None])[..., 0], rtol=1e-5, atol=1e-6)


def test_a_column_of_a_table_is_a_channel():
    x = np.random.default_rng(0).normal([0, 5, -3], [1, 2, 30], (200, 3))
    train, test = standardize(x[:150], x[150:])
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(axis=0), 1, rtol=1e-5)
    wanted = (x[150:] - x[:150].mean(axis=0)) / x[:150].std(axis=0)
    np.testing.assert_allclose(test, wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"others\[0\] of shape \(N, 3\), got \(200, 2\)"):
        standardize(x, x[:, :2])
    with pytest.raises(ValueError, match=r"others\[0\] of shape"):
        standardize(x, x[None])


def test_splits_that_do_not_go_together():
    x = np.zeros((4, 4, 4, 3))
    with pytest.raises(
        ValueError, match=r"expected others\[1\] of shape \(N, H, W, 3\), got \(4, 4, 4, 2\)"
    ):
        standardize(x, x, x[..., :2])
    with pytest.raises(
        ValueError, match=r"expected others\[0\] of shape \(N, 4, 4, 3\), got \(4, 2, 4, 3\)"
    ):
        minmax(x, x[:, :2])


def test_global_contrast_normalize_errors():
    x = np.zeros((4, 4, 4, 3))
    with pytest.raises(ValueError, match="expected scale in .0, inf."):
        global_contrast_normalize(x, scale=0)
    with pytest.raises(ValueError, match="expected eps in .0, inf."):
        global_contrast_normalize(x, eps=-1)
    assert global_contrast_normalize(x[:0]).shape == (0, 4, 4, 3)
