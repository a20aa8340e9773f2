"""Student's intervals are those of printed tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from elunet.experiments.statistics import t_interval, t_quantile


def test_students_quantiles():
    """Values of any printed table."""
    table = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 9: 2.2622, 30: 2.0423, 120: 1.9799}
    for degrees, value in table.items():
        assert t_quantile(degrees) == pytest.approx(value, abs=5e-5)
    assert t_quantile(5, 0.99) == pytest.approx(4.0321, abs=5e-5)
    assert t_quantile(10_001, 0.95) == pytest.approx(1.9602, abs=5e-5)


def test_intervals():
    mean, half = t_interval([0.1, 0.2, 0.4])
    assert mean == pytest.approx(0.7 / 3)
    assert half == pytest.approx(4.3027 * np.std([0.1, 0.2, 0.4], ddof=1) / math.sqrt(3), rel=1e-4)
    assert math.isnan(t_interval([0.3])[1])
    with pytest.raises(ValueError, match="at least one value"):
        t_interval([])
