"""A file is complete or absent, whatever goes wrong while it is written."""

from __future__ import annotations

import json
import os
import stat
import sys

import pytest

from elunet.storage import files, settings


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, broken):
    file = tmp_path / "x"
    files.write_atomically(file, b"old")

    def fail(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_what_reads_back_differently_is_not_kept(tmp_path, monkeypatch):
    file = tmp_path / "x"
    file.write_bytes(b"old")
    monkeypatch.setattr(files.Path, "read_bytes", lambda self: b"garbled")
    with pytest.raises(OSError, match="expected to read back what was written"):
        files.write_atomically(file, b"new")
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
def test_the_file_is_as_readable_as_any_new_one(tmp_path):
    (tmp_path / "plain").write_text("")
    files.write_atomically(tmp_path / "x", b"content")
    modes = {stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("plain", "x")}
    assert len(modes) == 1


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"existing folder to write net in, got .*none$"):
        files.write_atomically(tmp_path / "none" / "net", b"")


def test_json_is_plain_and_finite(tmp_path):
    files.write_json(tmp_path / "x", {"a": [1, None]})
    assert json.loads((tmp_path / "x").read_text()) == {"a": [1, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "x", {"a": float("nan")})
    assert json.loads((tmp_path / "x").read_text()) == {"a": [1, None]}


def test_a_folder_belongs_to_its_first_settings(tmp_path):
    file = tmp_path / "new" / "settings.json"
    assert settings.claim(file, {"a": 1, "b": [2]}) == {}
    assert settings.claim(file, {"a": 1, "b": [2]}) == {}
    assert settings.claim(file, {"a": 1, "c": 3}) == {"b": ([2], None), "c": (None, 3)}
    assert json.loads(file.read_text()) == {"a": 1, "b": [2]}


def test_settings_that_grow(tmp_path):
    """Keys may be added and left out, at each level; what both have must be the same."""
    file = tmp_path / "settings.json"

    def claim(rules, latest):
        return settings.claim(file, {"r": rules, "l": latest}, ["r"], ["l"])

    def there():
        found = json.loads(file.read_text())
        return list(found["r"].items()), list(found["l"].items())

    assert claim({"a": {"x": 1}, "b": {}}, {"a": 1}) == {}
    assert claim({"c": 3, "a": {"y": [2]}}, {"c": 2, "b": 1}) == {}
    grown = [("a", {"x": 1, "y": [2]}), ("b", {}), ("c", 3)], [("a", 1), ("c", 2), ("b", 1)]
    assert there() == grown
    assert claim({"c": 4, "a": {"x": 1, "y": [3], "z": 0}}, {"a": 7}) == {
        "r c": (3, 4),
        "r a y": ([2], [3]),
    }
    assert claim([], {}) == {"r": ({"a": {"x": 1, "y": [2]}, "b": {}, "c": 3}, [])}
    assert there() == grown
    assert claim({}, {"b": 5, "a": 6, "c": 7}) == {}
    assert there() == (grown[0], [("b", 5), ("a", 6), ("c", 7)])
