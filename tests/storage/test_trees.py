"""Plain data come back from JSON as they were."""

from __future__ import annotations

import json
import math

import numpy as np

from elunet.storage.trees import pack, unpack


def test_plain_data_come_back():
    data = {
        "none": None,
        "numbers": [1, -(2**100), 0.1, math.inf, -math.inf, True],
        "nested": {"a.b": np.arange(3), "a": {"b": np.float32([[1.5]])}, "": []},
        "numpy": [np.int64(3), np.float64(2.5), np.bool_(False)],
    }
    arrays = {}
    plain = json.loads(json.dumps(pack(data, arrays), allow_nan=False))
    back = unpack(plain, arrays)
    assert back["numbers"] == data["numbers"]
    assert back["numpy"] == [3, 2.5, False]
    np.testing.assert_array_equal(back["nested"]["a.b"], [0, 1, 2])
    assert back["nested"]["a"]["b"].dtype == np.float32
    assert math.isnan(unpack(pack(math.nan, {}), {}))
