"""Run tests inside Pyodide, the Python of browsers: `python tests/browser/inside.py [PYTEST ...]`.

Without arguments it runs those of kernels, layers, losses and checks. Node stands for the browser:
the WebAssembly is the same, and it reads tests from the disk. The folder of a whole distribution of
Pyodide is in ELUNET_PYODIDE. ``--scipy`` loads SciPy as well, whose BLAS elunet then uses.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
TESTS = ["tests/kernels", "tests/layers", "tests/testing", "tests/test_losses.py"]
PURE = ["pytest", "hypothesis == 6.130.0", "tqdm"]  # later versions of hypothesis are compiled


def main(arguments: list[str]) -> int:
    """Run the tests; return pytest's exit code."""
    node, pyodide = shutil.which("node"), os.environ.get("ELUNET_PYODIDE")
    if not node or not pyodide:
        sys.exit("it takes Node, and in ELUNET_PYODIDE a folder with Pyodide's distribution")
    load = ["numpy", "matplotlib"]
    if "--scipy" in arguments:
        arguments.remove("--scipy")
        load.append("scipy")
    with tempfile.TemporaryDirectory() as packages:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--target", packages]
        pip += ["--python-version=3.12", "--only-binary=:all:", "--platform=any"]
        subprocess.run([*pip, "--implementation=py", "--abi=none", *PURE], check=True)
        places = [pyodide, str(HERE.parents[1]), packages, ",".join(load)]
        command = [node, str(HERE / "inside.mjs"), *places, *(arguments or TESTS)]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
