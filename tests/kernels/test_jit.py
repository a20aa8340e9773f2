"""The decorator of kernels: without a folder to write to, it warns once and goes on."""

from __future__ import annotations

import warnings

import numba
import pytest

from elunet.kernels import _jit


def test_without_a_cache_it_warns_once(monkeypatch):
    asked = []

    def njit(**options):
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    monkeypatch.setattr(_jit._Warned, "yet", False)
    with pytest.warns(RuntimeWarning, match=r"elunet: compiled kernels cannot .* NUMBA_CACHE_DIR"):
        assert _jit.jit(abs) is abs
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _jit.jit(abs) is abs
    assert [options.get("cache", False) for options in asked] == [True, False, True, False]
    assert all(options["nogil"] for options in asked)
    assert all(options["fastmath"] == {"contract"} for options in asked)  # NaN stays NaN
    assert _jit.exact_jit(abs) is abs
    assert not asked[-1]["fastmath"]
