"""The decorator of kernels: without a folder to write to, it warns once and continues."""

from __future__ import annotations

import warnings

import pytest

from elunet.kernels import _jit

pytestmark = pytest.mark.numba


def test_without_a_cache_it_warns_once(monkeypatch):
    from elunet.kernels import _cache  # it needs numba

    asked = []

    def njit(**options):
        asked.append(options)
        return lambda function: lambda *inputs: function(*inputs)

    def cache(function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(_jit._numba, "njit", njit)
    monkeypatch.setattr(_jit, "hasattr", lambda thing, name: True, raising=False)
    monkeypatch.setattr(_cache, "Cache", cache)
    monkeypatch.setattr(_cache, "_said", set())
    with pytest.warns(RuntimeWarning, match=r"elunet: compiled kernels cannot .* NUMBA_CACHE_DIR"):
        assert _jit.jit(abs)(-1) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _jit.jit(abs)(-1) == 1
    assert all(options["nogil"] for options in asked)
    assert all(options["fastmath"] == {"contract"} for options in asked)  # NaN stays NaN
    assert _jit.exact_jit(abs)(-1) == 1
    assert not asked[-1]["fastmath"]
