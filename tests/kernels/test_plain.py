"""The switch between compiled kernels and their plain twins, and that no twin is missing."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import elunet
from elunet.kernels import _jit

ROOT = Path(elunet.__file__).parent
DECORATORS = ("jit", "exact_jit", "locked_jit")
KERNELS = [
    (file.stem, node)
    for file in sorted((ROOT / "kernels").glob("[!_]*.py"))
    for node in ast.parse(file.read_text("utf-8")).body
    if isinstance(node, ast.FunctionDef)
    and any(ast.unparse(decorator) in DECORATORS for decorator in node.decorator_list)
]


def run(code: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT.parent), "ELUNET_KERNELS": ""} | changes,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(("module", "node"), [pytest.param(*k, id=k[1].name) for k in KERNELS])
def test_each_kernel_has_a_twin_with_its_arguments(module, node):
    if node.name.startswith("_"):  # only kernels call it
        return
    twin = getattr(importlib.import_module(f"elunet.kernels.plain.{module}"), node.name)
    names = list(inspect.signature(twin).parameters)
    expected = [argument.arg for argument in node.args.args]
    if names[-1] == "penalties":
        names[-1:] = ["scale", "l2", "l1"]
    assert names == expected
    assert ast.get_docstring(node).partition(" ")[0] == inspect.getdoc(twin).partition(" ")[0]


@pytest.mark.process
def test_plain_kernels_need_no_numba():
    result = run(
        "import sys\n"
        "import elunet as eln\n"
        "from elunet.kernels import columns, plain\n"
        "late = {'numba', 'threadpoolctl', 'safetensors', 'pooch', 'lzma', 'matplotlib'}\n"
        "late |= {'numpy.ma', 'socket'}\n"
        "assert not late & sys.modules.keys(), late & sys.modules.keys()\n"
        "assert columns.im2col.__wrapped__ is plain.columns.im2col\n"
        "eln.warmup()\n"
        "assert not {'numba', 'llvmlite'} & sys.modules.keys()\n",
        ELUNET_KERNELS="plain",
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr


@pytest.mark.process
def test_without_numba_one_line_says_what_is_slower():
    missing = "import sys; sys.modules['numba'] = None\n"
    result = run(missing + "import elunet; import elunet.kernels._jit as j; print(j.in_use())")
    assert result.returncode == 0, result.stderr
    said = [line for line in result.stderr.splitlines() if "Warning" in line]
    assert len(said) == 1, result.stderr
    assert "kernels run in NumPy" in said[0]
    assert "slower" in said[0]
    assert result.stdout.startswith("plain, in NumPy (")
    quiet = run(missing + "import elunet", ELUNET_KERNELS="plain")
    assert (quiet.returncode, quiet.stderr) == (0, "")


@pytest.mark.process
@pytest.mark.parametrize(
    ("value", "error"),
    [("compiled", "ModuleNotFoundError"), ("fast", "ValueError: elunet: expected ELUNET_KERNELS")],
)
def test_what_cannot_be_is_an_error(value, error):
    result = run("import sys; sys.modules['numba'] = None; import elunet", ELUNET_KERNELS=value)
    assert result.returncode == 1
    assert error in result.stderr


def test_in_a_browser_nobody_is_told_to_install_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert "numba" in _jit._choose("", "emscripten")


@pytest.mark.numba
def test_which_are_in_use():
    import numba

    assert _jit.version() == numba.__version__
    assert _jit.in_use().startswith(("compiled by numba", "plain Python"))
