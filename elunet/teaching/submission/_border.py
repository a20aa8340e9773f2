"""Calls between two processes that do not trust each other: only values are sent, never code.

One side calls, the other one runs what is called. A message is JSON with numbers, texts and
containers, followed by the bytes of arrays; nothing in it can be run.

Arrays keep their identity. Both sides have a copy of each block of memory, and every message
synchronizes the two copies: what one side wrote in place, the other one sees after the next call.
So a forward pass that writes into x, or a gradient that is a view of dy, shows here as it does in
one process. Two arrays that share memory on one side share it on the other.

This file is read by the submission's process as well, so it imports NumPy and nothing of elunet.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
import weakref
from typing import Any

import numpy as np

LARGEST = 64 << 20
"""The limit in bytes for one message, and for all blocks together."""
DEEPEST = 20
"""The limit for nested containers."""
LONGEST = 4000
"""The limit for the characters of a text."""
KINDS = "biufc"
"""The dtypes that can be sent: numbers."""
SIZE = struct.Struct("<II")


class BorderError(Exception):
    """Something cannot be sent, or a message is invalid."""


class ClosedError(BorderError):
    """The other side has ended, or takes too long."""


class Block:
    """A piece of memory that both sides have."""

    def __init__(self, owner: np.ndarray[Any, Any], is_weak: bool, died: Any) -> None:
        self.is_written = owner.flags.writeable
        self.at, self.size = extent(owner)
        self.last = b""  # what the other side has; b"" if nothing yet
        self._strong = None if is_weak else owner
        self._owner = weakref.ref(owner, died)

    @property
    def owner(self) -> Any:
        """The array that holds the memory; None if nobody has it any more."""
        return self._owner()

    def content(self) -> bytes:
        """Return the content."""
        return bytes_of(self.owner).tobytes()

    def write(self, content: bytes) -> None:
        """Replace the content."""
        if not self.is_written:
            raise ValueError("assignment destination is read-only")
        bytes_of(self.owner)[...] = np.frombuffer(content, np.uint8)


def owner_of(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the array that holds an array's memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def extent(array: np.ndarray[Any, Any]) -> tuple[int, int]:
    """Return where an array's memory begins, and its number of bytes."""
    low, high = np.lib.array_utils.byte_bounds(array)
    return low, high - low


def bytes_of(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an array without gaps as its bytes, in the order of memory, not copied."""
    return np.ravel(array, order="K").view(np.uint8)


def is_dense(array: np.ndarray[Any, Any]) -> bool:
    """Whether an array's memory has no gaps and does not run backwards."""
    return extent(array)[1] == array.nbytes and min(array.strides, default=0) >= 0


class Border:
    """One side of a connection.

    Parameters
    ----------
    connection : socket
    calls : bool
        Whether this side calls. It decides how long the other side keeps a block: until nobody
        holds it here any more.
    """

    def __init__(self, connection: socket.socket, calls: bool) -> None:
        self.connection, self.calls = connection, calls
        self.deadline: float | None = None
        self._blocks: dict[int, Block] = {}
        self._by_owner: dict[int, int] = {}
        self._next = 0 if calls else 1  # even numbers for one side, odd ones for the other
        self._dead: list[int] = []
        self._raw: dict[int, bytes] = {}
        self._temporary: list[Any] = []

    # -- messages

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, and every block whose content has changed."""
        parts, changed = [], []
        for number, block in list(self._blocks.items()):
            if block.owner is None:
                continue
            content = block.content()
            if content != block.last:
                block.last = content
                changed.append([number, len(content)])
                parts.append(content)
        dead, self._dead = self._dead, []
        head = json.dumps({"message": message, "blocks": changed, "dead": dead}).encode()
        body = b"".join(parts)
        if len(head) + len(body) > LARGEST:
            raise BorderError(f"more than {LARGEST >> 20} MB at once")
        try:
            self.connection.settimeout(self._left())
            self.connection.sendall(SIZE.pack(len(head), len(body)) + head + body)
        except OSError as error:
            raise ClosedError("is gone") from error
        self._temporary.clear()

    def receive(self) -> dict[str, Any]:
        """Return the next message, and update the blocks that it mentions."""
        head_size, body_size = SIZE.unpack(self._read(SIZE.size))
        if head_size + body_size > LARGEST:
            raise BorderError(f"more than {LARGEST >> 20} MB at once")
        head, body = self._read(head_size), self._read(body_size)
        try:
            found = json.loads(head)
            message, blocks, dead = found["message"], found["blocks"], found["dead"]
            for number in dead:
                self._forget(number)
            start = 0
            for number, size in blocks:
                content = body[start : start + size]
                start += size
                if len(content) != size:
                    raise BorderError("a truncated block")
                self._take(number, content)
            if not isinstance(message, dict):
                raise BorderError("no message")
        except (KeyError, TypeError, UnicodeDecodeError, RecursionError) as error:
            raise BorderError(f"{type(error).__name__} in a message") from error
        except json.JSONDecodeError as error:
            raise BorderError("no message") from error
        if sum(block.size for block in self._blocks.values()) > LARGEST:
            raise BorderError(f"more than {LARGEST >> 20} MB in arrays")
        return message

    def _left(self) -> float | None:
        """Return the seconds that are left."""
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise ClosedError("took too long")
        return left

    def _read(self, size: int) -> bytes:
        parts, left = [], size
        while left:
            try:
                self.connection.settimeout(self._left())
                part = self.connection.recv(min(left, 1 << 20))
            except TimeoutError as error:
                raise ClosedError("took too long") from error
            except OSError as error:
                raise ClosedError("is gone") from error
            if not part:
                raise ClosedError("is gone")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    # -- blocks

    def _take(self, number: int, content: bytes) -> None:
        block = self._blocks.get(number)
        if block is None or block.owner is None:
            self._raw[number] = content
        elif len(content) != block.size:
            raise BorderError("a block of another size")
        else:
            block.write(content)
            block.last = content

    def _add(self, number: int, owner: np.ndarray[Any, Any]) -> Block:
        key = id(owner)

        def died(_: object, number: int = number, key: int = key) -> None:
            self._by_owner.pop(key, None)
            if self._blocks.pop(number, None) is not None:
                self._dead.append(number)

        if number in self._dead:
            self._dead.remove(number)
        block = self._blocks[number] = Block(owner, self.calls, died)
        self._by_owner[key] = number
        return block

    def _forget(self, number: int) -> None:
        self._raw.pop(number, None)
        block = self._blocks.pop(number, None)
        if block is not None and block.owner is not None:
            self._by_owner.pop(id(block.owner), None)

    def _number(self, owner: np.ndarray[Any, Any]) -> int:
        """Return a block's number, a new one if it is new."""
        known = self._by_owner.get(id(owner))
        if known is None:
            known, self._next = self._next, self._next + 2
            self._add(known, owner)
        return known

    # -- values

    def encode(self, value: Any, depth: int = 0) -> Any:
        """Return a value as JSON.

        Raises
        ------
        BorderError
            If it is not a number, text, array of numbers or container of these.
        """
        if depth > DEEPEST:
            raise BorderError("too many nested containers")
        if value is None or isinstance(value, bool):
            return value
        if type(value) is str:
            return value[:LONGEST]
        if type(value) is int:
            return ["int", str(value)] if abs(value) < 10**1000 else ["int", "0"]
        if type(value) is float:
            return ["float", value.hex()]
        if isinstance(value, np.ndarray):
            return self._encode_array(value)
        if isinstance(value, np.generic) and value.dtype.kind in KINDS:
            return ["scalar", value.dtype.str, value.tobytes().hex()]
        if isinstance(value, tuple | list):
            kind = "tuple" if isinstance(value, tuple) else "list"
            return [kind, [self.encode(item, depth + 1) for item in value]]
        if type(value) is dict and all(type(key) in (str, int) for key in value):
            return ["dict", [[key, self.encode(item, depth + 1)] for key, item in value.items()]]
        if isinstance(value, np.random.Generator):
            state = self.encode(_plain(value.bit_generator.state), depth + 1)
            return ["generator", type(value.bit_generator).__name__, state]
        return self.encode_other(value, depth)

    def encode_other(self, value: Any, depth: int) -> Any:
        """Return any other value as JSON; subclasses know more kinds."""
        raise BorderError(f"expected numbers, got {type(value).__name__}")

    def _encode_array(self, array: np.ndarray[Any, Any]) -> Any:
        if array.dtype.kind not in KINDS or not array.dtype.isnative:
            raise BorderError(f"expected an array of numbers, got one of dtype {array.dtype}")
        array = array.view(np.ndarray)
        if array.size == 0:
            return ["empty", list(array.shape), array.dtype.str]
        owner = owner_of(array)
        if not is_dense(owner) or owner.nbytes > 8 * array.nbytes + 4096:
            owner = array = array.copy()
        self._temporary.append(owner)
        number = self._number(owner)
        offset = extent_start(array) - self._blocks[number].at
        place = [offset, list(array.shape), list(array.strides), array.dtype.str]
        return ["array", number, *place, array.flags.writeable]

    def decode(self, node: Any, old: Any = None) -> Any:
        """Return the value that some JSON stands for.

        Parameters
        ----------
        node : object
        old : object, optional
            What was there before: dictionaries, lists and generators are changed in place.

        Raises
        ------
        BorderError
            If it stands for nothing.
        """
        if node is None or isinstance(node, bool | str):
            return node
        try:
            kind, *rest = node
            return self._decode(kind, rest, old)
        except (TypeError, ValueError, LookupError, OverflowError, RecursionError) as error:
            raise BorderError(f"{type(error).__name__} in a value") from error

    def _decode(self, kind: str, rest: list[Any], old: Any) -> Any:
        if kind == "int":
            return int(rest[0])
        if kind == "float":
            return float.fromhex(rest[0])
        if kind == "array":
            return self._decode_array(*rest)
        if kind == "empty":
            return np.empty(rest[0], _dtype(rest[1]))
        if kind == "scalar":
            return np.frombuffer(bytes.fromhex(rest[1]), _dtype(rest[0]))[0]
        if kind in ("tuple", "list"):
            before = [*(old if isinstance(old, tuple | list) else ()), *[None] * len(rest[0])]
            items = [self.decode(item, was) for item, was in zip(rest[0], before, strict=False)]
            if kind == "tuple":
                return tuple(items)
            if type(old) is not list:
                return items
            old[:] = items
            return old
        if kind == "dict":
            known: dict[Any, Any] = old if type(old) is dict else {}
            entries = {key: self.decode(item, known.get(key)) for key, item in rest[0]}
            known.clear()
            known.update(entries)
            return known
        if kind == "generator":
            return _generator(rest[0], self.decode(rest[1]), old)
        return self.decode_other(kind, rest, old)

    def decode_other(self, kind: str, rest: list[Any], old: Any) -> Any:
        """Return the value of any other JSON."""
        raise BorderError(f"nothing is called {kind!r:.40}")

    def _decode_array(
        self,
        number: int,
        offset: int,
        shape: list[int],
        strides: list[int],
        dtype: str,
        writeable: bool,
    ) -> np.ndarray[Any, Any]:
        kind, size = _dtype(dtype), tuple(shape)
        if math.prod(size) * kind.itemsize > LARGEST:
            raise BorderError("an array too large")
        block = self._blocks.get(number)
        owner = None if block is None else block.owner
        if owner is None:
            content = self._raw.pop(number)
            owner = np.empty(size, kind)
            if owner.nbytes != len(content) or owner.strides != tuple(strides) or offset:
                owner = np.empty(len(content), np.uint8)  # another array's memory, of which a part
            bytes_of(owner)[...] = np.frombuffer(content, np.uint8)
            self._add(number, owner).last = content
        array = owner
        if (owner.dtype, owner.shape, owner.strides, 0) != (kind, size, tuple(strides), offset):
            array = np.ndarray(size, kind, bytes_of(owner), offset, tuple(strides))
        if not writeable and array.flags.writeable:
            array = array.view()
            array.flags.writeable = False
        return array


def extent_start(array: np.ndarray[Any, Any]) -> int:
    """Return the address of an array's first entry."""
    return int(array.__array_interface__["data"][0])


def _dtype(text: str) -> np.dtype[Any]:
    """Return a dtype of numbers."""
    found = np.dtype(text)
    if found.kind not in KINDS:
        raise BorderError("expected numbers")
    return found


def _plain(state: Any) -> Any:
    """Return a generator's state without NumPy's own kinds of numbers."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return int(state) if isinstance(state, np.integer) else state


def _generator(name: str, state: Any, old: Any) -> np.random.Generator:
    """Return a generator in a state, the old one if it is of the same kind."""
    kinds = {"PCG64", "PCG64DXSM", "SFC64", "Philox", "MT19937"}
    if name not in kinds:
        raise BorderError("an unknown generator")
    same = isinstance(old, np.random.Generator) and type(old.bit_generator).__name__ == name
    found = old if same else np.random.Generator(getattr(np.random, name)(0))
    found.bit_generator.state = state
    return found
