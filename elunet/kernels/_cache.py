"""The cache of compiled kernels: numba's own, with a checksum in each file.

numba keeps machine code as a pickle and never looks whether it is whole. After a power cut that
would end every later start. Here a damaged file is compiled again, and where nothing can be written
(a full disk) kernels are compiled for this run only. Each gives one warning.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile

DIGEST = hashlib.sha256().digest_size

_said: set[str] = set()


class Files(IndexDataCacheFile):  # type: ignore[misc]
    """A kernel's index, and a file for each combination of types; all end with a SHA-256."""

    @contextmanager
    def _open_for_write(self, path: str) -> Iterator[io.BytesIO]:
        with super()._open_for_write(path) as file:
            yield (new := io.BytesIO())
            file.write(new.getvalue() + hashlib.sha256(new.getvalue()).digest())

    def _check(self, path: str) -> None:
        content = Path(path).read_bytes()
        if hashlib.sha256(content[:-DIGEST]).digest() != content[-DIGEST:]:
            raise ValueError(f"{Path(path).name} is damaged")

    def _load_index(self) -> Any:
        if Path(self._index_path).exists():
            self._check(self._index_path)
        return super()._load_index()

    def _load_data(self, name: str) -> Any:
        self._check(self._data_path(name))
        return super()._load_data(name)  # what stands after the end is not looked at

    def _save_index(self, overloads: dict[Any, str]) -> None:
        """Save the index, after removing a file of that name: it is of an older source."""
        for name in set(overloads.values()) - set(self._load_index().values()):
            Path(self._data_path(name)).unlink(missing_ok=True)
        super()._save_index(overloads)

    def drop(self) -> None:
        """Remove all that is stored of this kernel."""
        with suppress(OSError):
            Path(self._index_path).unlink(missing_ok=True)


class Cache(FunctionCache):  # type: ignore[misc]
    """A kernel's cache that survives damaged files and a full disk.

    Raises
    ------
    RuntimeError
        If there is no folder that can be written to.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp()
        # A name of its own: files that numba alone wrote have no checksum.
        self._cache_file = Files(self._cache_path, f"{self._impl.filename_base}.sha256", stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the stored kernel for these types, or None."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:
            self._cache_file.drop()
            say_damaged(self._cache_path, error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store a compiled kernel if that is possible."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            self._cache_file.drop()
            say_unkept(error)


def say_damaged(folder: str, error: Exception) -> None:
    """Warn, once, that a kernel is compiled again."""
    _say(
        f"elunet: a compiled kernel could not be read from {folder} ({type(error).__name__}:"
        f" {error}) and is compiled again; later runs can read it again."
    )


def say_unkept(error: Exception) -> None:
    """Warn, once, that kernels are compiled for this run only."""
    _say(
        f"elunet: compiled kernels cannot be kept between runs ({error}); each run compiles them"
        " again. Set NUMBA_CACHE_DIR to a folder that you can write to."
    )


def _say(text: str) -> None:
    kind = text[:30]
    if kind not in _said:
        _said.add(kind)
        warnings.warn(text, RuntimeWarning, stacklevel=2)
