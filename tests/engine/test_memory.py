"""The workspace: memory is reused when, and only when, nobody holds it."""

from __future__ import annotations

import copy
import itertools
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elunet.engine import memory
from elunet.engine.memory import ALIGNMENT, SMALL, Workspace, current, empty, scratch

BIG = (SMALL // 4,)  # as float32


@contextmanager
def using(workspace):
    """Do what a running network does."""
    before, current.workspace = current.workspace, workspace
    try:
        yield
    finally:
        current.workspace = before


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_comes_back_when_it_is_free():
    workspace = Workspace()
    first = workspace.empty(BIG, np.float32)
    place, reserved = address(first), workspace.reserved
    assert workspace.nbytes == first.nbytes
    del first
    assert workspace.nbytes == 0
    second = workspace.empty(BIG, np.float32)
    assert address(second) == place
    assert workspace.reserved == reserved


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
    small = workspace.empty((SMALL - 1,), np.uint8)
    assert workspace.nbytes == workspace.reserved == 0
    large = workspace.empty((SMALL,), np.uint8)
    assert workspace.nbytes == SMALL
    assert small.nbytes < large.nbytes


def test_the_first_gap_that_fits_and_gaps_that_join():
    workspace = Workspace()
    a, b, c, d = (workspace.empty((SMALL,), np.uint8) for _ in range(4))
    place = address(a)
    assert [address(array) - place for array in (a, b, c, d)] == [0, SMALL, 2 * SMALL, 3 * SMALL]
    del a, c
    e = workspace.empty((SMALL,), np.uint8)
    assert address(e) == place
    f = workspace.empty((2 * SMALL,), np.uint8)  # the gap that c left is too small
    assert not 0 <= address(f) - place < 4 * SMALL
    del b
    g = workspace.empty((2 * SMALL,), np.uint8)  # but not with b's beside it
    assert address(g) == place + SMALL
    del d, e, f, g


@given(
    steps=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), min_size=1, max_size=60),
)
def test_no_two_arrays_share_a_byte(steps):
    """Whatever is taken and given back in whatever order, and through which views."""
    workspace, held = Workspace(), []
    for number, (size, drop) in enumerate(steps):
        array = workspace.empty((SMALL + 997 * size,), np.uint8)
        array[...] = number
        held.append((array[drop:], number))
        del array
        if drop < len(held) - 1:
            held.pop(drop)
        for view, then in held:
            assert (view == then).all()
    spans = sorted((address(view), address(view) + view.nbytes) for view, _ in held)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans))
    assert workspace.nbytes >= sum(view.nbytes for view, _ in held)
    held.clear()
    del view
    assert workspace.nbytes == 0
    workspace._collect()
    assert all(len(piece.gaps) == 1 for piece in workspace._pieces)


@pytest.mark.parametrize("place", range(1, 90))
def test_an_interrupt_at_any_place_loses_nothing_and_lends_nothing_twice(place):
    """As by Ctrl-C, where Python looks whether a signal has come."""
    workspace, held, counted = Workspace(), [], 0

    def interrupt(frame, event, argument):
        nonlocal counted
        counted += frame.f_code.co_filename == memory.__file__ and event in ("call", "c_return")
        if counted == place:
            sys.setprofile(None)
            raise KeyboardInterrupt

    def use():
        for number in range(6):
            held.append(workspace.empty((SMALL + 64 * number,), np.uint8))
            del held[: number // 3]

    sys.setprofile(interrupt)
    try:
        use()
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
    held += [workspace.empty((SMALL,), np.uint8) for _ in range(5)]
    spans = sorted((address(array), address(array) + array.nbytes) for array in held)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans))
    assert workspace.nbytes == sum(-(-array.nbytes // 64) * 64 for array in held)
    held.clear()
    assert workspace.nbytes == 0
    workspace._collect()
    assert all(len(piece.gaps) == 1 for piece in workspace._pieces)
    assert not workspace._lent


def test_another_thread_may_be_the_last_to_hold_it():
    workspace = Workspace()
    held = [workspace.empty(BIG, np.float32)]
    other = threading.Thread(target=held.clear)
    other.start()
    other.join()
    assert workspace.nbytes == 0


def test_where_memory_is_short_it_takes_no_more_than_it_needs(monkeypatch):
    real = np.empty

    def short(shape, dtype):
        if np.prod(shape) > 2 * SMALL:
            raise MemoryError("short")
        return real(shape, dtype)

    workspace = Workspace()
    monkeypatch.setattr(np, "empty", short)
    array = workspace.empty((SMALL,), np.uint8)
    assert SMALL <= workspace.reserved <= SMALL + ALIGNMENT
    with pytest.raises(MemoryError, match="short"):
        workspace.empty((3 * SMALL,), np.uint8)
    assert workspace.nbytes == array.nbytes


def test_scratch_is_lent_again_when_nobody_holds_it():
    large = scratch((1000, 1000), np.float32)
    large[...] = 1
    place = address(large)
    held = large[5:6, ::2]
    del large
    second = scratch((2,), np.float64)  # as a signal's handler may ask for it
    assert not np.shares_memory(held, second)
    del held
    place = address(second)
    del second
    first = scratch((2,), np.float32)
    assert address(first) == place
    assert first.flags.c_contiguous
    assert first.dtype == np.float32


def test_each_thread_has_scratch_of_its_own():
    mine, others = scratch((10,), np.float32), []
    thread = threading.Thread(target=lambda: others.append(scratch((10,), np.float32)))
    thread.start()
    thread.join()
    assert not np.shares_memory(mine, others[0])


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
    assert outer.nbytes == 3 * inner.nbytes > 0
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
