"""The package's layout, read from its source: who may import whom, and what is forbidden.

Imports run downwards only. `MAY_IMPORT` says for each part of the package which other parts it may
know; nothing here imports the package.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "elunet"

GROUND = {"_types", "_checks", "_quiet", "_reprs", "_progress", "_group"}
COMPUTE = GROUND | {"kernels", "engine"}
NETWORK = COMPUTE | {"init", "layers", "_display"}
LEARNING = NETWORK | {"graph", "network", "routers", "losses", "optim", "schedules"}
MAY_IMPORT = {
    "_types": set(),
    "_checks": {"_types"},
    "_quiet": set(),
    "_progress": set(),
    "_reprs": set(),
    "_group": {"_types"},
    "_display": set(),
    "kernels": GROUND,
    "engine": GROUND | {"kernels"},
    "init": GROUND,
    "layers": COMPUTE | {"init", "_display"},
    "graph": NETWORK,
    "network": NETWORK | {"graph"},
    "routers": NETWORK | {"graph", "network", "losses", "schedules"},
    "schedules": GROUND,
    "losses": COMPUTE,
    "optim": COMPUTE | {"schedules"},
    "data": COMPUTE,
    "models": NETWORK | {"network", "storage"},
    "warmup": NETWORK | {"network", "losses", "optim"},
    "storage": GROUND | {"network"},
    "exchange": NETWORK | {"graph", "network", "storage"},
    "train": LEARNING | {"storage", "data", "_display"},
    "distributed": COMPUTE,
    "experiments": LEARNING | {"storage", "data", "models", "train", "warmup"},
    "estimators": LEARNING | {"data", "train"},
    "plots": GROUND | {"train", "graph", "network", "layers", "experiments", "routers"},
    "testing": LEARNING,
    "teaching": LEARNING | {"testing", "storage"},
    "commands": LEARNING
    | {"storage", "data", "models", "train", "experiments", "plots", "exchange", "testing"}
    | {"teaching", "distributed"},
    "__main__": {"commands"},
}


def sources() -> dict[str, Path]:
    """Return {"elunet.layers.conv2d": its file, ...}."""
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        if file.is_relative_to(ROOT / "teaching" / "exercises"):  # students' code
            continue
        parts = file.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


SOURCES = sources()
TREES = {name: ast.parse(file.read_text("utf-8")) for name, file in SOURCES.items()}
MODULES = pytest.mark.parametrize("module", SOURCES)


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk over everything but what only a type checker reads."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from statements(child)


def imported(module: str) -> set[str]:
    """Return the full names of all modules that a module imports, in functions too."""
    names = set()
    package = SOURCES[module].name == "__init__.py"
    for node in statements(TREES[module]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".") if package else module.split(".")[:-1]
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, *filter(None, [base])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                names.add(full if full in SOURCES else base)
    return names


def part(module: str) -> str:
    """Return "layers" for "elunet.layers.conv2d", and "" for the package itself."""
    return (module + ".").split(".")[1]


def test_every_part_has_its_place_in_the_order():
    assert {part(module) for module in SOURCES} - {""} <= MAY_IMPORT.keys()
    for name, below in MAY_IMPORT.items():
        for other in below:
            assert name not in MAY_IMPORT[other], f"{name} and {other} may import each other"


@MODULES
def test_imports_run_downwards(module):
    if module == "elunet":
        return
    mine = part(module)
    wrong = {
        other
        for other in imported(module)
        if other.split(".")[0] == "elunet"
        and part(other) not in MAY_IMPORT[mine] | {mine}
        and not (mine == "commands" and other == "elunet")  # as its users do
    }
    assert not wrong, f"{module} imports {sorted(wrong)}, which are above or next to it"


def test_no_circles():
    graph = {module: (imported(module) & SOURCES.keys()) - {module} for module in SOURCES}
    TopologicalSorter(graph).prepare()  # raises a CycleError that names the circle


@MODULES
def test_networks_and_routers_know_no_concrete_layer(module):
    if part(module) in ("network", "routers"):
        layers = {other for other in imported(module) if part(other) == "layers"}
        assert layers <= {"elunet.layers.base", "elunet.layers.spans", "elunet.layers.twins"}


@MODULES
def test_rooms_of_the_checks_know_those_before_them(module):
    rooms = ["_find", "_diagnose", "_call", "_perturb", "_compare"]
    inside = module.removeprefix("elunet.testing.").split(".")[0]
    if module.startswith("elunet.testing.") and inside in rooms:
        after = rooms[rooms.index(inside) + 1 :]
        checks = ["_layer", "_network", "_functions", "_gradient_of", "_loss", "_optimizer"]
        above = {f"elunet.testing.{name}" for name in [*after, *checks, "contract"]}
        assert not [other for other in imported(module) if ".".join(other.split(".")[:3]) in above]


@MODULES
def test_one_file_of_the_layers_knows_the_engine(module):
    if part(module) == "layers" and module != "elunet.layers.spans":
        assert not {other for other in imported(module) if part(other) == "engine"}


@MODULES
def test_the_engine_knows_arrays_and_callables_only(module):
    if part(module) == "engine":
        known = {part(other) for other in imported(module) if other.startswith("elunet")}
        assert known <= {"_types", "_checks", "_quiet", "kernels", "engine"}


@MODULES
def test_of_storage_only_weights_knows_networks(module):
    if part(module) == "storage" and module != "elunet.storage.weights":
        assert {part(other) for other in imported(module)} & MAY_IMPORT.keys() <= GROUND | {
            "storage"
        }


@MODULES
def test_every_module_opens_with_its_idea(module):
    text = ast.get_docstring(TREES[module])
    assert text, f"{module} has no opening docstring"


@MODULES
def test_no_pickle(module):
    forbidden = {"pickle", "cPickle", "_pickle", "dill", "joblib", "shelve", "marshal"}
    assert not {name.split(".")[0] for name in imported(module)} & forbidden
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False


@MODULES
def test_no_assert_statements(module):
    lines = [node.lineno for node in ast.walk(TREES[module]) if isinstance(node, ast.Assert)]
    assert not lines, f"{module}: errors are raised, not asserted (lines {lines})"


@MODULES
def test_no_parallel_numba_and_no_global_generator(module):
    """One pool of threads, and randomness only from seeds: no prange, no np.random.rand()."""
    allowed = {"Generator", "SeedSequence", "BitGenerator", "PCG64", "SFC64", "default_rng"}
    if part(module) in ("testing", "teaching"):  # they set the global state back
        allowed |= {"get_state", "set_state", "RandomState"}
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Attribute):
            assert node.attr != "prange"
            if ast.unparse(node.value) in ("np.random", "numpy.random"):
                assert node.attr in allowed


def test_one_version():
    """setup.cfg and the documentation read the package's own; the citation has to repeat it."""
    package = ast.parse((ROOT / "__init__.py").read_text("utf-8"))
    (version,) = (
        ast.literal_eval(node.value)
        for node in package.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    )
    top = ROOT.parent
    assert "version = attr: elunet.__version__\n" in (top / "setup.cfg").read_text("utf-8")
    assert f"\nversion: {version}\n" in (top / "CITATION.cff").read_text("utf-8")
