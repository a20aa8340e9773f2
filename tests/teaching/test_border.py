"""Values and arrays that cross to another process and back, and the guard's rules."""

from __future__ import annotations

import copy
import socket

import numpy as np
import pytest

from elunet.teaching.submission import _border
from elunet.teaching.submission._border import Border, BorderError, ClosedError
from elunet.teaching.submission._guard import make_guard


@pytest.fixture
def sides():
    """Return both sides of a connection: the one that calls, and the other one."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Border(ours, calls=True), Border(theirs, calls=False)


def sent(value, one, other):
    """Send a value to the other side and return what arrives."""
    one.send({"value": one.encode(value)})
    return other.decode(other.receive()["value"])


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -(10**40),
        float("inf"),
        0.1,
        "text",
        (1, [2.5, "x"], {"a": None, 3: ()}),
        np.float32(0.1),
        np.int64(-3),
        np.bool_(True),
    ],
)
def test_values(value, sides):
    found = sent(value, *sides)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6, dtype=np.int8).reshape(2, 3).T,
        np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        np.arange(24.0).reshape(4, 6)[::-2, 1::2],
        np.broadcast_to(np.arange(3.0), (4, 3)),
        np.array(2.0),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.empty((0, 3), np.float32),
        np.arange(100_000.0)[5:7],
    ],
)
def test_arrays(array, sides):
    found = sent(array, *sides)
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    if array.size and array.size > 2:
        assert found.strides == array.strides
    assert found.flags.writeable == array.flags.writeable


def test_what_shares_memory_here_shares_it_there(sides):
    whole = np.zeros((3, 4))
    first, second, part = sent((whole, whole, whole[1:, ::2]), *sides)
    assert first is second
    assert np.shares_memory(first, part)
    part[...] = 7
    assert first[1, 2] == 7


def test_what_is_written_there_arrives_here(sides):
    caller, other = sides
    x = np.ones(3)
    there = sent(x, caller, other)
    there += 1
    other.send({"value": other.encode(there)})
    assert caller.decode(caller.receive()["value"]) is x
    np.testing.assert_array_equal(x, 2)


def test_a_read_only_array_cannot_be_changed_from_there(sides):
    caller, other = sides
    x = np.ones(3)
    x.flags.writeable = False
    there = sent(x, caller, other)
    with pytest.raises(ValueError, match="read-only"):
        there += 1
    there.flags.writeable = True  # a submission may do that to its own copy
    there += 1
    other.send({})
    with pytest.raises(ValueError, match="read-only"):
        caller.receive()


def test_what_nobody_holds_is_forgotten_there(sides):
    caller, other = sides
    for _ in range(50):
        sent(np.ones(100), caller, other)
    assert len(other._blocks) <= 2


def test_containers_and_generators_are_changed_in_place(sides):
    caller, other = sides
    known = {"W": np.zeros(2), "list": [1, 2], "rng": np.random.default_rng(0), "old": 1}
    before = copy.copy(known)
    rng = np.random.default_rng(5)
    node = caller.encode({"W": np.ones(2), "list": [3], "rng": rng})
    caller.send({"value": node})
    found = other.decode(other.receive()["value"], known)
    assert found is known
    assert "old" not in known
    assert known["list"] is before["list"]
    assert known["list"] == [3]
    assert known["rng"] is before["rng"]
    assert known["rng"].random() == rng.random()


@pytest.mark.parametrize(
    "value",
    [object(), len, {1, 2}, b"bytes", np.array([object()]), np.array(["text"]), {(1, 2): 3}],
)
def test_only_numbers_texts_and_containers_cross(value, sides):
    with pytest.raises(BorderError):
        sides[0].encode(value)


def test_containers_too_deep(sides):
    deep = []
    deep.append(deep)
    with pytest.raises(BorderError, match="too many nested containers"):
        sides[0].encode(deep)


@pytest.mark.parametrize(
    "node",
    [
        ["int", "x"],
        ["array", 99, 0, [3], [8], "<f8", True],
        ["empty", [0], "O"],
        ["scalar", "<f8", "00"],
        ["generator", "Other", {}],
        ["tuple", 3],
        ["dict", [1]],
        ["nothing"],
        [],
        3,
        [[]],
    ],
)
def test_nonsense_is_refused(node, sides):
    with pytest.raises(BorderError):
        sides[1].decode(node)


@pytest.mark.parametrize(
    "place",
    [
        [8, [3], [8], "<f8"],
        [-8, [1], [8], "<f8"],
        [0, [4], [8], "<f8"],
        [0, [10**12], [0], "<f8"],
        [0, [3], [8], "O"],
    ],
)
def test_no_array_reaches_beyond_its_memory(place, sides):
    caller, other = sides
    known = np.ones(3)
    caller.send({"value": caller.encode(known)})
    number = other.receive()["value"][1]
    with pytest.raises(BorderError):
        other.decode(["array", number, *place, True])


@pytest.mark.parametrize(
    "data",
    [
        b'{"message": 3, "blocks": [], "dead": []}',
        b'{"message": {}, "blocks": [[0, 8]], "dead": []}',
        b'{"message": {}, "blocks": 3, "dead": []}',
        b'{"message": {}}',
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_messages_that_are_none(data, sides):
    caller, other = sides
    caller.connection.sendall(_border.SIZE.pack(len(data), 0) + data)
    with pytest.raises(BorderError):
        other.receive()


def test_too_much(sides):
    caller, other = sides
    with pytest.raises(BorderError, match="more than 64 MB at once"):
        sent(np.zeros(_border.LARGEST), caller, other)
    caller.connection.sendall(_border.SIZE.pack(2**32 - 1, 2**32 - 1))
    with pytest.raises(BorderError, match="more than 64 MB at once"):
        other.receive()


def test_nobody_answers(sides):
    caller, other = sides
    caller.deadline = 0.0
    with pytest.raises(ClosedError, match="took too long"):
        caller.receive()
    other.connection.close()
    caller.deadline = None
    with pytest.raises(ClosedError, match="is gone"):
        caller.receive()


# -- the guard


FOLDER = "/tmp/work"


@pytest.fixture
def reasons():
    """Return a function that tells an event to a guard and returns why it ends the process."""

    def told(event, *arguments):
        found = []
        hook = make_guard(
            found.append,
            lambda: FOLDER,
            ["/lib/python"],
            ["/lib/python/site-packages/numpy"],
            FOLDER,
            ["elunet", "elunet.layers"],
        )
        hook(event, arguments)
        return " ".join(found)

    return told


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("import", ("numpy.fft", None, None, None, None)),
        ("import", ("elunet.layers", None)),
        ("open", ("/lib/python/json/decoder.py", "r", 0)),
        ("open", ("/lib/python/site-packages/numpy/fft/__init__.py", "rb", 0)),
        ("open", ("data.npy", "rb", 0)),
        ("open", ("out.txt", "w", 0)),
        ("open", (b"out.txt", None, 1)),
        ("open", (3, "w", 0)),
        ("open", ("/dev/urandom", "rb", 0)),
        ("os.listdir", (FOLDER,)),
        ("os.listdir", (None,)),
        ("os.mkdir", ("folder", 0o777, -1)),
        ("compile", ("x = 1", "file")),
    ],
)
def test_the_guard_lets_pass(event, arguments, reasons):
    assert reasons(event, *arguments) == ""


@pytest.mark.parametrize(
    ("event", "arguments", "reason"),
    [
        ("import", ("elunet.testing", None), "it imports elunet.testing; solve the exercise"),
        ("import", ("ctypes", None), "it imports ctypes, which is not needed in any exercise"),
        ("open", ("/lib/python/site-packages/elunet/a.py", "r", 0), "it reads /lib/python/site-"),
        ("open", ("/lib/python/site-packages/numpy/../elunet/a", "r", 0), "it reads /lib/python/s"),
        ("open", ("../other/solution.py", "r", 0), "it reads /tmp/other/solution.py"),
        ("open", ("/tmp/workshop/x", "r", 0), "it reads /tmp/workshop/x"),
        ("open", ("/lib/python/os.py", "r+", 0), "it writes to /lib/python/os.py"),
        ("open", ("/lib/python/os.py", None, 1), "it writes to /lib/python/os.py"),
        ("open", (b"/proc/1/mem", "rb", 0), "it reads /proc/1/mem"),
        ("open", (object(), "rb", 0), "a path that is not a string"),
        ("os.listdir", ("/",), "it reads /"),
        ("os.rename", ("a", "/tmp/b", -1, -1), "it writes to /tmp/b"),
        ("os.remove", ("/tmp/b", -1), "it writes to /tmp/b"),
        ("os.fork", (), "it starts or ends another process (os.fork)"),
        ("os.kill", (1, 9), "it starts or ends another process (os.kill)"),
        ("socket.connect", (None, None), "it opens a connection"),
        ("gc.get_objects", (), "it looks into memory that is not its own (gc.get_objects)"),
        ("ctypes.dlopen", (None,), "it looks into memory that is not its own (ctypes.dlopen)"),
    ],
)
def test_the_guard_ends(event, arguments, reason, reasons):
    assert reason in reasons(event, *arguments)
