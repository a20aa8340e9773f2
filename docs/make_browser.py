"""Put a site beside the documentation in which its notebooks run without installing anything.

    python -m sphinx -D in_browser=1 docs html && python docs/make_browser.py html

It writes ``html/lite``, a JupyterLite site with the notebooks and elunet's wheel in it. Python is
Pyodide, which the reader's browser fetches from its makers' CDN, as it does NumPy and matplotlib.
With ``--pyodide FOLDER`` all of that comes from a folder with a whole distribution of Pyodide, and
nothing from outside. It takes the extra ``browser`` (``pip install -e ".[browser]"``).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import make_notebooks
import nbformat
from browser_site import NOTEBOOKS

DOCS = Path(__file__).parent
PYODIDE = "https://cdn.jsdelivr.net/pyodide/v0.27.7/full/"  # that of jupyterlite-pyodide-kernel 0.6
PURE = "hypothesis == 6.130.0"  # the last ones are compiled
KERNEL = {"name": "python", "display_name": "Python (Pyodide)"}  # or it asks which one to take
INSTALL = f"%pip install -q elunet {PURE.split()[0]}"
# All cells are in the page, or the browser's search does not find what is out of view.
SETTINGS = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}


def build(html: Path, pyodide: Path | None = None, also: Sequence[Path] = ()) -> Path:
    """Write the site; return its folder.

    Parameters
    ----------
    html : Path
        The built documentation.
    pyodide : Path, optional
        A folder with a whole distribution of Pyodide.
    also : sequence of Path
        Other notebooks (.ipynb) to put there.
    """
    site = html / "lite"
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        content, wheels = work / "content", work / "wheels"
        content.mkdir()
        for page in NOTEBOOKS:
            source = DOCS / f"{page}.md"
            made = make_notebooks.notebook(source, install=INSTALL)
            made.metadata["kernelspec"] = KERNEL
            nbformat.write(made, content / f"{source.stem}.ipynb")
        for file in also:
            shutil.copy(file, content)
        (work / "overrides.json").write_text(json.dumps(SETTINGS))
        pip = [sys.executable, "-m", "pip"]
        run([*pip, "wheel", "-q", "--no-deps", "-w", str(wheels), str(DOCS.parent)], work)
        pure = ["--no-binary=:none:", "--python-version=3.12", "--only-binary=:all:"]
        target = ["--platform=any", "--implementation=py", "--abi=none"]
        needs = [PURE, "sortedcontainers", "attrs", "tqdm", "comm"]
        run([*pip, "download", "-q", "--no-deps", *pure, *target, "-d", str(wheels), *needs], work)
        if pyodide is not None:
            (work / "static").mkdir()
            (work / "static/pyodide").symlink_to(pyodide.resolve())
        command = [sys.executable, "-m", "jupyter", "lite", "build", "--contents", str(content)]
        for wheel in sorted(wheels.glob("*.whl")):
            command += ["--piplite-wheels", str(wheel)]
        run([*command, "--apps", "notebooks", "--output-dir", str(site.resolve())], work)
        (elunet,) = wheels.glob("elunet-*.whl")
        shutil.copy(elunet, site / elunet.name)
    place = "static/pyodide/" if pyodide is not None else PYODIDE
    (site / "elunet.json").write_text(json.dumps({"wheel": elunet.name, "pyodide": place}))
    shutil.copy(DOCS / "browser/playground.py", site / "playground.py")
    return site


def run(command: Sequence[str], folder: Path) -> None:
    """Run a program; what it says is shown only if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the site beside the documentation."""
    parser = argparse.ArgumentParser(description="Put notebooks that run beside the pages.")
    parser.add_argument("html", type=Path, help="folder of the built documentation")
    parser.add_argument("--pyodide", type=Path, help="folder with a whole distribution of Pyodide")
    options = parser.parse_args(arguments)
    print(build(options.html, options.pyodide))


if __name__ == "__main__":
    main()
