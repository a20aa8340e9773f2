"""The workspace: a block is lent again when, and only when, nobody holds it."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.workspace import ALIGNMENT, SMALL, Workspace, empty, using

BIG = (SMALL // 4,)  # as float32


def address(array):
    return array.__array_interface__["data"][0]


def test_a_block_comes_back_when_it_is_free():
    workspace = Workspace()
    first = workspace.empty(BIG, np.float32)
    place, size = address(first), workspace.nbytes
    del first
    second = workspace.empty(BIG, np.float32)
    assert address(second) == place
    assert workspace.nbytes == size


@pytest.mark.parametrize(
    "hold",
    [
        lambda a: a,
        lambda a: a[5:6],
        lambda a: a.reshape(2, -1)[1],
        lambda a: a.view(np.int32),
        lambda a: a.reshape(-1, 2).T[::-1],
        lambda a: memoryview(a),
        lambda a: [a],
        lambda a: np.broadcast_to(a[:1], (3, 3)),
        lambda a: a.astype(np.float32, copy=False),
    ],
)
def test_any_view_keeps_it(hold):
    workspace = Workspace()
    array = workspace.empty(BIG, np.float32)
    place = address(array)
    held = hold(array)
    del array
    others = [workspace.empty(BIG, np.float32) for _ in range(3)]
    assert place not in map(address, others)
    del held
    assert address(workspace.empty(BIG, np.float32)) == place


@given(
    shape=st.lists(st.integers(0, 60), max_size=4).map(tuple),
    dtype=st.sampled_from([np.float32, np.float64, np.uint8, np.int32]),
)
def test_arrays_are_as_np_empty_gives_them(shape, dtype):
    array = Workspace().empty(shape, dtype)
    expected = np.empty(shape, dtype)
    assert (array.shape, array.dtype, array.strides) == (expected.shape, dtype, expected.strides)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    if array.nbytes >= SMALL:
        assert address(array) % ALIGNMENT == 0
    array.fill(1)


def test_small_arrays_are_numpys_own():
    workspace = Workspace()
    workspace.empty((SMALL - 1,), np.uint8)
    assert workspace.nbytes == 0
    workspace.empty((SMALL,), np.uint8)
    assert workspace.nbytes == SMALL + ALIGNMENT


def test_the_smallest_block_that_fits():
    workspace = Workspace()
    sizes = [5 * SMALL, 3 * SMALL, 4 * SMALL]
    arrays = [workspace.empty((size,), np.uint8) for size in sizes]
    places = [address(array) for array in arrays]
    arrays.clear()
    assert address(workspace.empty((3 * SMALL - 99,), np.uint8)) == places[1]
    assert address(workspace.empty((3 * SMALL + 99,), np.uint8)) == places[2]
    assert workspace.nbytes == sum(sizes) + 3 * ALIGNMENT
    workspace.empty((SMALL,), np.uint8)  # it would waste half of the smallest
    assert workspace.nbytes == sum(sizes) + 4 * ALIGNMENT + SMALL


def test_using_counts_inside_its_block_only():
    outer, inner = Workspace(), Workspace()
    empty(BIG, np.float32)
    with using(outer):
        a = empty(BIG, np.float32)
        with using(inner):
            b = empty(BIG, np.float32)
        c = empty(BIG, np.float32)
        with pytest.raises(RuntimeError), using(inner):
            raise RuntimeError
        d = empty(BIG, np.float32)
    empty(BIG, np.float32)
    assert outer.nbytes == 3 * inner.nbytes
    del a, b, c, d


def test_using_counts_in_its_thread_only():
    workspace = Workspace()
    with using(workspace):
        other = threading.Thread(target=empty, args=(BIG, np.float32))
        other.start()
        other.join()
    assert workspace.nbytes == 0


def test_a_copy_starts_empty():
    workspace = Workspace()
    workspace.empty(BIG, np.float32)
    assert copy.deepcopy(workspace).nbytes == copy.copy(workspace).nbytes == 0
