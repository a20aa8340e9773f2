"""The hash of an object is another one if anything in it differs, and the same if nothing does."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import elunet as eln
from elunet.storage.object_hash import object_hash, unread

START = """
import collections, dataclasses, enum, functools, random, re, threading, types
from pathlib import Path
import numpy as np
import elunet as eln
FA = eln.routers.FeedbackAlignment
"""


NUMBA = "from numba import njit, vectorize\n"


def made(text, name="users_own"):
    """Return what `make` returns in a module of the user's own."""
    place = {"__name__": name}
    exec(START + text, place)
    return place["make"]()


def sends(value, before=""):
    """Return the text of a rule that computes something in its send."""
    return f"{before}\nclass Own(FA):\n def send(self, layer, dy): return {value}\nmake = Own"


def has(value, before=""):
    """Return the text of a rule with an attribute."""
    return f"{before}\nclass Own(FA): pass\ndef make():\n r = Own()\n r.a = {value}\n return r"


def within(member):
    """Return the text of a rule whose class has a member."""
    return f"class Own(FA):\n {member}\nmake = Own"


DIFFERENT = {  # with ? for what is 1 in one object, and 2 in the other
    "code": sends("dy * ?"),
    "helper": sends("f(dy)", "def f(x): return x * ?"),
    "helper of a helper": sends("g(dy)", "def f(x): return x * ?\ndef g(x): return f(x)"),
    "compiled helper": sends("f(dy)", f"{NUMBA}@njit\ndef f(x): return x * ?"),
    "helper of a compiled one": has(
        "g", f"{NUMBA}@njit\ndef f(x): return x * ?\n@njit\ndef g(x): return f(x)"
    ),
    "options of a compiled one": has("f", f"{NUMBA}@njit(fastmath=? == 1)\ndef f(x): return x"),
    "compiled ufunc": has("f", f"{NUMBA}@vectorize\ndef f(x): return x * ?"),
    "vectorized by NumPy": has("np.vectorize(lambda x: x * ?)"),
    "cached function": has("functools.lru_cache(lambda x: x * ?)"),
    "dispatched function": has("functools.singledispatch(lambda x: x * ?)"),
    "global number": sends("dy * C", "C = ?"),
    "global dict": sends("dy * C['a']", "C = {'a': ?}"),
    "global object": sends("C(dy)", "class H:\n def __call__(s, x): return x * ?\nC = H()"),
    "global class": sends("dy * H.k", "class H: k = ?"),
    "global method": sends("C(dy)", "C = np.arange(?).dot"),
    "default": has("lambda x, k=?: x * k"),
    "closure": has("f(?)", "def f(k): return lambda x: k * x"),
    "attribute of a function": has("f", "def f(x): return f.k\nf.k = ?"),
    "wrapped like another": has("functools.wraps(np.tanh)(lambda x: x * ?)"),
    "partial": has("functools.partial(max, ?)"),
    "method of one object": (
        "def make():\n r = FA()\n r.send = types.MethodType(lambda s, l, dy: ? * dy, r)\n return r"
    ),
    "attribute": has("?"),
    "attribute with a name's name": has(
        "H()", "class H:\n def __init__(s): s.__name__, s.k = 'h', ?"
    ),
    "class as attribute": has("H", "class H: k = ?"),
    "slot": has("H()", "class H:\n __slots__ = 'k'\n def __init__(s): s.k = ?"),
    "array": has("np.full(3, ?)"),
    "array of dates": has("np.array(['2020-01-0?'], 'M8[D]')"),
    "array of objects": has("np.array([None, ?])"),
    "masked array": has("np.ma.array([1, 2], mask=[? == 1, 0])"),
    "like an array": has(
        "H()", "class H:\n k = ?\n def __array__(s, dtype=None, copy=None): return np.ones(1)"
    ),
    "type of a number": has("(np.float32, np.float64)[? - 1](0.5)"),
    "generator": has("np.random.default_rng(?)"),
    "random": has("random.Random(?)"),
    "pattern": has("re.compile('?')"),
    "deque": has("collections.deque([?])"),
    "factory of a dict": has("collections.defaultdict(lambda: ?)"),
    "subclass of list": has("H([1])", "class H(list):\n def f(s): return ?"),
    "content of a subclass": has("H([?])", "class H(list): pass"),
    "subclass of float": has("H(1)", "class H(float):\n def f(s): return ?"),
    "dataclass": has("dataclasses.make_dataclass('H', ['k'])(?)"),
    "enum": has("H.A", "class H(enum.IntEnum):\n A = ?"),
    "state that is not copied": has(
        "H()", "class H:\n def __init__(s): s.k = ?\n def __getstate__(s): return {}"
    ),
    "inner class": within("class Config: k = ?"),
    "class's set": within("k = {?}"),
    "class's object": within("k = eln.optim.SGD(?)"),
    "property": within("k = property(lambda s: ?)"),
    "setter": within("k = property(None, lambda s, v: ?)"),
    "cached property": within("k = functools.cached_property(lambda s: ?)"),
    "static method": within("k = staticmethod(lambda x: ?)"),
    "base": "class A(FA): k = ?\nclass Own(A): pass\nmake = Own",
    "metaclass": (
        "class M(type):\n def k(c): return ?\nclass Own(FA, metaclass=M): pass\nmake = Own"
    ),
    "rule inside": "def make(): return eln.routers.NormMatched(FA(?))",
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_whatever_differs_is_seen(case):
    if NUMBA in DIFFERENT[case]:
        pytest.importorskip("numba")
    one, other = (DIFFERENT[case].replace("?", value) for value in "12")
    assert object_hash(made(one)) != object_hash(made(other))
    assert object_hash(made(one)) == object_hash(made(one))
    assert unread(made(one)) == []


SAME = {
    "docstring": ("def end(self, net): pass", "def end(self, net): 'End.'"),
    "order": ("a = 1\n b = 2", "b = 2\n a = 1"),
    "annotation": ("a = 1", "a: int = 1"),
    "repr": ("a = 1", "a = 1\n def __repr__(self): return 'own'"),
}


@pytest.mark.parametrize("case", SAME)
def test_what_does_nothing_does_not_count(case):
    one, other = SAME[case]
    assert object_hash(made(within(one))) == object_hash(made(within(other)))


def test_code_that_two_modules_have_is_the_same():
    assert object_hash(made(sends("dy"))) == object_hash(made(sends("dy"), "another"))


HOLDING = """
class Leaf: pass
class Own(FA):
 def __init__(self):
  super().__init__()
  self.itself, self.lock, self.names = self, threading.Lock(), {'a', 'b', 'c', ('d', 1)}
  self.path, self.net, self.of = Path('a/b'), eln.models.small_cnn(seed=0), {np.tanh: len}
  self.leaf = Leaf()
  self.leaf.peers = {self.leaf, Leaf()}
  self.rng = np.random.default_rng(np.random.SeedSequence(3).spawn(2)[1])
 def send(self, layer, dy): return dy if layer.name in {'x', 'y', 'z'} else len(self.names) * dy
make = Own
"""


@pytest.mark.process
def test_every_process_finds_the_same():
    """Whatever order sets have there, and wherever things are in memory."""
    code = (
        "from elunet.storage.object_hash import object_hash\n"
        f"place = {{'__name__': 'users_own'}}\nexec({START + HOLDING!r}, place)\n"
        "print(object_hash(place['make']()))"
    )
    found = {object_hash(made(HOLDING))}
    for seed in "123":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout.strip())
    assert len(found) == 1


@pytest.mark.parametrize(
    "make",
    [lambda: eln.models.elu11(seed=0), lambda: eln.models.resnet(20, seed=0)],
)
def test_a_network_that_was_not_used(make):
    assert object_hash(make()) == object_hash(make())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("(x for x in [1])", "builtins.generator"),
        ("np.frompyfunc(abs, 1, 1)", "numpy.ufunc abs (vectorized)"),
        ("open(__import__('os').devnull)", "_io.TextIOWrapper"),
    ],
)
def test_what_cannot_be_read_is_told(text, name):
    rule = made(has(text))
    assert unread(rule) == [name]
    if hasattr(rule.a, "close"):
        rule.a.close()


def test_what_is_nested_too_deeply_is_told():
    rule = made(has("None", "class Node: pass"))
    node = rule
    for _ in range(3000):
        node.next = type("Node", (), {})()
        node = node.next
    assert unread(rule) == ["users_own.Own, which is nested too deeply"]


def test_objects_that_answer_to_every_name():
    text = """
class Answers:
 def __init__(self, k): self.__dict__['k'] = k
 def __getattr__(self, name): return self.__dict__['missing'][name]
def make(): return Answers(@)
"""
    one, other = (object_hash(made(text.replace("@", value))) for value in "12")
    assert one != other


def test_arrays_are_read_in_any_order_of_their_memory():
    x = np.arange(6.0).reshape(2, 3)
    assert object_hash(x) == object_hash(np.asfortranarray(x)) != object_hash(x.T)
