"""The format's reader and writer against the format's own package, both ways."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.numpy as package
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import SafetensorError

from elunet.storage.safetensors import (
    MalformedError,
    UnholdableError,
    UnknownDtypeError,
    dump,
    parse,
)

texts = st.text(st.characters(codec="utf-8"), max_size=8)
names = texts.filter(lambda name: name != "__metadata__")
numbers = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="<"),
    hnp.unsigned_integer_dtypes(endianness="<"),
    hnp.floating_dtypes(endianness="<", sizes=(16, 32, 64)),
)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
arrays = st.dictionaries(names, hnp.arrays(numbers, shapes), max_size=5)
metadata = st.one_of(st.just({}), st.dictionaries(texts, texts, min_size=1, max_size=1))


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


@given(arrays=arrays, about=metadata)
def test_what_is_written_is_what_the_package_writes(arrays, about):
    ours = dump(arrays, about)
    if about:  # without any, the package leaves the entry out
        assert ours == package.save(arrays, about)
    assert_equal(package.load(ours), arrays)


@given(arrays=arrays, about=metadata)
def test_what_the_package_writes_is_read(arrays, about):
    found, texts = parse(package.save(arrays, about or None))
    assert_equal(found, arrays)
    assert texts == about
    for array in found.values():
        assert array.flags.writeable
        assert array.flags.aligned


def test_equal_files_whatever_the_order_and_the_machine():
    a, b = np.arange(3.0), np.arange(4, dtype=np.int32)
    assert dump({"a": a, "b": b}, {"k": "v"}) == dump({"b": b.astype(">i4"), "a": a}, {"k": "v"})


def content(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


FOUR = bytes(4)
MALFORMED = {
    "nothing": b"",
    "seven bytes": bytes(7),
    "no header": bytes(8),
    "a header beyond the end": content(b"{}", length=3),
    "a header of more bytes than there are": content(b"{}", length=2**63),
    "no UTF-8": content(b'{"\xff": 1}'),
    "no JSON": content(b"{"),
    "a list": content([]),
    "a number": content(b"1"),
    "deeply nested": content(b'{"a":' + b"[" * 100_000),
    "an entry that is a number": content({"a": 1}),
    "no dtype": content({"a": {"shape": [1], "data_offsets": [0, 4]}}, FOUR),
    "a dtype that is a number": content({"a": entry(dtype=4)}, FOUR),
    "no shape": content({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, FOUR),
    "a negative side": content({"a": entry(shape=[-1])}, FOUR),
    "a side that is not an integer": content({"a": entry(shape=[1.0])}, FOUR),
    "a side that is true": content({"a": entry(shape=[True])}, FOUR),
    "one offset": content({"a": entry(offsets=[4])}, FOUR),
    "offsets that go back": content({"a": entry(offsets=[4, 0])}, FOUR),
    "negative offsets": content({"a": entry(offsets=[-4, 0])}, FOUR),
    "a gap": content({"a": entry(offsets=[4, 8])}, FOUR * 2),
    "an overlap": content({"a": entry(), "b": entry()}, FOUR),
    "too few bytes": content({"a": entry()}, bytes(3)),
    "too many bytes": content({"a": entry()}, bytes(5)),
    "bytes of nothing": content({}, FOUR),
    "another size": content({"a": entry(shape=[2])}, FOUR),
    "metadata that are no object": content({"__metadata__": [1]}),
    "metadata that are not strings": content({"__metadata__": {"a": 1}}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_the_package_refuses_is_refused(name):
    with pytest.raises(SafetensorError):
        package.load(MALFORMED[name])
    with pytest.raises(MalformedError) as caught:
        parse(MALFORMED[name])
    assert 0 < len(str(caught.value)) < 500


def test_a_name_that_stands_there_twice():
    """The format forbids it; the package takes the second."""
    text = json.dumps(entry()).encode()
    with pytest.raises(MalformedError, match="twice"):
        parse(content(b'{"a": %b, "a": %b}' % (text, text), FOUR))


@given(data=st.data())
def test_a_damaged_file_is_refused_as_by_the_package(data):
    """Or read as by the package: a bit of the numbers may be another one."""
    arrays = {"a.W": np.arange(6.0).reshape(2, 3), "b": np.ones(3, bool)}
    whole = bytearray(dump(arrays, {"k": "v"}))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.sampled_from([len(whole), len(whole), place]))])
    try:
        expected = package.load(damaged)
    except (SafetensorError, ValueError, KeyError):
        with pytest.raises((MalformedError, UnknownDtypeError, UnholdableError)):
            parse(damaged)
    else:
        assert_equal(parse(damaged)[0], expected)


def test_numbers_that_numpy_does_not_have():
    with pytest.raises(UnknownDtypeError, match="BF16"):
        parse(content({"a": entry(dtype="BF16", shape=[2])}, FOUR))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
def test_dtypes_are_numpys_own(dtype):
    """Optimizers ask with `is`: an equal dtype took another way, and a resumed run other bits."""
    found, _ = parse(dump({"a": np.zeros(2, dtype)}, {}))
    assert found["a"].dtype is np.dtype(dtype)
