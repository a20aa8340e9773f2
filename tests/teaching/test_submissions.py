"""What submissions get: right ones, half-right ones, wrong ones, hostile and clumsy ones.

`docs/grading.md` shows the table, and these tests run every cell of it.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

import elunet
from elunet.teaching import exercises, grade_submission
from elunet.teaching.submission import _process

PAGE = Path(__file__).parents[2] / "docs" / "grading.md"
EXERCISES = {exercise.module: exercise for exercise in exercises()}
# A submission takes seconds, and there are over a hundred: CI grades those of two exercises.
EACH = pytest.mark.parametrize("module", list(EXERCISES)[:: 4 if os.environ.get("CI") else 1])

# What is replaced in the solution to make it half right: the values stay, a gradient is wrong.
HALF = {
    "softplus": ("(1 + np.tanh(self.x / 2)) / 2", "(self.x > 0)"),
    "concat": ("np.cumsum([array.shape[-1] for array in x])[:-1]", "len(x)"),
    "huber": (" / r.size", " / len(r)"),
    "lion": ("self.beta2 * m + (1 - self.beta2)", "self.beta1 * m + (1 - self.beta1)"),
    "maxout": ("self.winner[:, None] == pieces", "True"),
    "layer_norm": ("g - shift - x_hat * along", "g - shift"),
    "depthwise_conv": ("dx[pixels] += ", "dx[pixels] = "),
    "gradient_check": ("if not np.allclose", "if what == 'dx is wrong' and not np.allclose"),
}

# Wrong in value, and a slope that belongs to the wrong value; of the checker, one that looks at
# nothing but the shape.
WRONG = {
    "softplus": """
        class Softplus:
            def forward(self, x):
                self.x = x
                return x / (1 + abs(x))
            def backward(self, dy):
                return dy / (1 + abs(self.x)) ** 2
        """,
    "concat": """
        import numpy as np
        class Concat:
            def forward(self, x):
                self.cut = x[-1].shape[-1]
                return np.concatenate(x[::-1], axis=-1)
            def backward(self, dy):
                return dy[..., self.cut :].copy(), dy[..., : self.cut].copy()
        """,
    "huber": """
        import numpy as np
        class Huber:
            def __init__(self, delta=1.0):
                self.delta = delta
            def __call__(self, prediction, target):
                r = prediction - target
                return float(np.mean(r**2)), 2 * r / r.size
        """,
    "lion": """
        class Lion:
            def __init__(self, lr=1e-4, beta1=0.9, beta2=0.99):
                self.lr = lr
            def step(self, net):
                for name, w in net.parameters().items():
                    w -= self.lr * net.gradients()[name]
        """,
    "maxout": """
        import numpy as np
        class Maxout:
            def __init__(self, inputs, outputs, pieces, seed=0):
                rng = np.random.default_rng(seed)
                self.W = rng.normal(size=(pieces, inputs, outputs)) / np.sqrt(inputs)
                self.b = np.zeros((pieces, outputs))
            def forward(self, x):
                self.x = x
                return np.einsum("ni,kio->no", x, self.W) + self.b.sum(axis=0)
            def backward(self, dy):
                self.dW = np.repeat((self.x.T @ dy)[None], len(self.W), axis=0)
                self.db = np.repeat(dy.sum(axis=0)[None], len(self.W), axis=0)
                return dy @ self.W.sum(axis=0).T
        """,
    "layer_norm": """
        import numpy as np
        import elunet as eln
        class LayerNorm(eln.layers.Layer):
            def __init__(self, channels, eps=1e-5):
                super().__init__()
                self.params["gamma"] = np.ones(channels, np.float32)
                self.params["beta"] = np.zeros(channels, np.float32)
            def forward(self, x, train=False):
                gamma = self.params["gamma"].astype(x.dtype)
                self.keep(x, gamma)
                return x * gamma + self.params["beta"].astype(x.dtype)
            def backward_params(self, dy):
                x, _ = self.recall()
                axes = tuple(range(dy.ndim - 1))
                self.grads["gamma"] = (dy * x).sum(axis=axes)
                self.grads["beta"] = dy.sum(axis=axes)
            def backward_input(self, dy):
                return dy * self.recall()[1]
        """,
    "depthwise_conv": """
        import numpy as np
        import elunet as eln
        class DepthwiseConv2D(eln.layers.Layer):
            def __init__(self, channels, kernel_size, stride=1, seed=0):
                super().__init__()
                self.size, self.stride = kernel_size, stride
                self.kernel_shape = (kernel_size, kernel_size, channels)
                rng = np.random.default_rng(seed)
                self.params["kernel"] = rng.normal(size=self.kernel_shape).astype(np.float32)
            def forward(self, x, train=False):
                rows, columns = [(n - self.size) // self.stride + 1 for n in x.shape[1:3]]
                kernel = self.params["kernel"].astype(x.dtype)
                self.keep(x, kernel, rows, columns)
                return x[:, :rows, :columns] * kernel[0, 0]
            def backward_params(self, dy):
                x, kernel, rows, columns = self.recall()
                self.grads["kernel"] = np.zeros_like(kernel)
                self.grads["kernel"][0, 0] = (dy * x[:, :rows, :columns]).sum(axis=(0, 1, 2))
            def backward_input(self, dy):
                x, kernel, rows, columns = self.recall()
                dx = np.zeros_like(x)
                dx[:, :rows, :columns] = dy * kernel[0, 0]
                return dx
        """,
    "gradient_check": """
        import numpy as np
        def check(layer, x):
            y = layer.forward(x, train=True)
            dx = layer.backward(np.ones_like(y))
            if not isinstance(x, tuple):
                assert dx.shape == x.shape
        """,
}

# A class or function of the right name that does nothing, for submissions that hope for the rest.
NOTHING = {
    "softplus": "class Softplus:\n    def forward(self, x): return x\n"
    "    def backward(self, dy): return dy\n",
    "concat": "class Concat:\n    def forward(self, x): self.x = x; return x[0]\n"
    "    def backward(self, dy): return self.x\n",
    "huber": "class Huber:\n    def __init__(self, delta=1.0): pass\n"
    "    def __call__(self, prediction, target): return 0.0, 0 * prediction\n",
    "lion": "class Lion:\n    def __init__(self, *a, **k): pass\n    def step(self, net): pass\n",
    "maxout": "import numpy\nclass Maxout:\n    def __init__(self, i, o, p, seed=0):\n"
    "        self.W = self.dW = numpy.zeros((p, i, o)); self.b = self.db = numpy.zeros((p, o))\n"
    "    def forward(self, x): self.x = x; return numpy.zeros((len(x), self.b.shape[1]))\n"
    "    def backward(self, dy): return 0 * self.x\n",
    "layer_norm": "import numpy, elunet\nclass LayerNorm(elunet.layers.Layer):\n"
    "    def __init__(self, channels, eps=1e-5):\n        super().__init__()\n"
    "        self.params = {n: numpy.ones(channels, 'f') for n in ('gamma', 'beta')}\n"
    "    def forward(self, x, train=False): return x\n"
    "    def backward_input(self, dy): return dy\n",
    "depthwise_conv": "import numpy, elunet\nclass DepthwiseConv2D(elunet.layers.Layer):\n"
    "    def __init__(self, channels, size, stride=1, seed=0):\n        super().__init__()\n"
    "        self.kernel_shape = (size, size, channels)\n"
    "        self.params = {'kernel': numpy.ones(self.kernel_shape, 'f')}\n"
    "    def forward(self, x, train=False): return x\n"
    "    def backward_input(self, dy): return dy\n",
    "gradient_check": "def check(layer, x): pass\n",
}
OWN = {
    "softplus": "from elunet.layers import Softplus\n",
    "concat": "from elunet.layers import Concat\n",
    "huber": "from elunet.losses import Huber\n",
    "lion": "from elunet.optim import Lion\n",
    "maxout": "import elunet.layers.maxpool\n",
    "layer_norm": "from elunet.layers import LayerNorm\n",
    "depthwise_conv": "from elunet.layers import Conv2D\nclass DepthwiseConv2D(Conv2D): pass\n",
    "gradient_check": "from elunet.testing import check_layer as check\n",
}
REPLACING = """
import builtins, sys, types, unittest
import numpy as np
for module in (np, np.testing):
    for name in list(vars(module)):
        if name.startswith(("assert_", "allclose", "array_equal", "isclose", "isfinite")):
            setattr(module, name, lambda *a, **k: True)
np.abs = np.max = np.absolute = lambda *a, **k: 0.0
for name in ("pytest", "elunet.testing", "elunet.teaching"):
    sys.modules[name] = types.ModuleType(name)
builtins.AssertionError = type("Never", (BaseException,), {})
"""
WALKING = """
import sys
frame = sys._getframe()
while frame is not None:
    for space in (frame.f_globals, frame.f_locals):
        for name, value in list(space.items()):
            if any(w in name.lower() for w in ("fail", "pass", "verdict", "point", "score")):
                try:
                    space[name] = True
                except Exception:
                    pass
            if name in ("solution", "mutant", "correct", "formula", "expected"):
                raise SystemError(name)
    frame = frame.f_back
import gc
for thing in gc.get_objects():
    if type(thing).__name__ in ("Mutant", "Session", "Plugin", "Grade"):
        thing.__dict__.clear()
"""
FORGING = """
import atexit, json, os, struct, sys
verdict = {"message": {"result": True, "fine": True, "op": "verdict", "passed": True},
           "score": 10.0, "tests": [], "blocks": [], "dead": []}
text = json.dumps(verdict).encode()
def forge():
    for handle in range(64):
        try:
            os.write(handle, struct.pack("<II", len(text), 0) + text)
        except OSError:
            pass
for file in ("results.json", "report.xml"):
    open(file, "wb").write(text)
atexit.register(forge)
forge()
"""
LEFT_OVER = """
import os, threading, time
def later():
    while True:
        time.sleep(0.01)
for _ in range(3):
    threading.Thread(target=later).start()
if os.fork() == 0:
    os.setsid()
    while True:
        time.sleep(1)
"""
EQUAL = """
import numpy as np
class Equal(np.ndarray):
    def __eq__(self, other): return np.ones(self.shape, bool)
    __ne__ = __lt__ = __gt__ = lambda self, other: np.zeros(self.shape, bool)
    __le__ = __ge__ = __eq__
    def __abs__(self): return np.zeros(self.shape)
    __sub__ = __rsub__ = lambda self, other: np.zeros(self.shape)
    def __array_ufunc__(self, *a, **k): return np.zeros(self.shape)
    def __array_function__(self, *a, **k): return True
def equal(x):
    return np.asarray(x[0] if isinstance(x, tuple) else x).view(Equal)
"""
PEEKING = """
import os, sys
for folder in [*sys.path, "/", os.path.expanduser("~"), "..", "../..", "/autograder/source"]:
    for root, _, files in os.walk(folder):
        if "solution.py" in files:
            exec(open(os.path.join(root, "solution.py")).read())
"""
SHADOWS = {
    "numpy.py": "allclose = array_equal = lambda *a, **k: True\n",
    "elunet/__init__.py": "",
    "elunet/testing.py": "class LayerContract: pass\nclass LossContract: pass\n",
    "pytest.py": "def main(*a, **k): return 0\n",
    "conftest.py": "def pytest_runtest_makereport(item, call): raise SystemExit(0)\n",
    "sitecustomize.py": "import os\nos._exit(0)\n",
    "json.py": "dumps = loads = lambda *a, **k: {}\n",
}
TELLING = """
import inspect
def check(layer, x):
    assert not type(layer).__module__.startswith(("elunet.testing", "elunet.teaching"))
    assert "mutant" not in repr(type(layer)).lower()
    base = type(layer).__bases__[0].__name__
    assert base in ("Layer", "SpanLayer", "Elementwise", "Weighted", "Given")
    doc = inspect.getdoc(type(layer)) or ""
    assert "In training:" not in doc and "Caught by" not in doc
    for name in ("forward", "backward", "backward_input", "backward_params"):
        code = getattr(getattr(type(layer), name, None), "__code__", None)
        assert code is None or "teaching/mutants" not in code.co_filename
"""


def hostile(module):
    """Return the hostile and the clumsy submissions: {what they do: {file: text}}."""
    stub, nothing = EXERCISES[module].stub.read_text("utf-8"), NOTHING[module]
    name = f"{module}.py"
    equal = EQUAL + nothing.replace("return x\n", "return equal(x)\n").replace(
        "return dy\n", "return equal(dy)\n"
    )
    found = {
        "unchanged stub": stub,
        "does nothing": nothing,
        "`while True` in the module": nothing + "while True:\n    pass\n",
        "`os._exit(0)`": nothing + "import os\nos._exit(0)\n",
        "`sys.exit(0)`": nothing + "import sys\nsys.exit(0)\n",
        "prints 8 MB": nothing + "for _ in range(8):\n    print('passed ' * 150_000)\n",
        "imports elunet's solution": OWN[module],
        "replaces NumPy's and pytest's functions": nothing + REPLACING,
        "walks through frames and memory": nothing + WALKING,
        "writes a verdict to every file": nothing + FORGING,
        "leaves threads and a process running": nothing + LEFT_OVER,
        "allocates 10 GB": nothing + "hog = bytearray(10_000_000_000)\n",
        "returns arrays that equal everything": equal,
        "looks for the solution": PEEKING + nothing,
        "recognizes layers by class and source": TELLING + ("" if "check" in nothing else nothing),
    }
    files = {what: {name: text} for what, text in found.items()}
    files["brings its own numpy, elunet and pytest"] = {name: nothing, **SHADOWS}
    files["is not Python"] = {name: "class Softplus\n"}
    files["has another file name"] = {"my_solution_final.py": nothing}
    return files


def fair(module):
    """Return the submissions of people who did some work."""
    solution = (EXERCISES[module].folder / "solution.py").read_text("utf-8")
    right, wrong = HALF[module]
    assert solution.count(right) == 1
    name = f"{module}.py"
    return {
        "right": {name: solution},
        "right, and prints 8 MB": {name: solution + "print('x' * 8_000_000)\n"},
        "half right": {name: solution.replace(right, wrong)},
        "wrong in value and slope": {name: textwrap.dedent(WRONG[module])},
    }


def points(module, files, folder):
    """Grade a submission that consists of these files."""
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, "utf-8")
    hangs = "while True:\n    pass" in files.get(f"{module}.py", "")  # it takes as long as it may
    return grade_submission(module, folder, seconds=5 if hangs else 60, total=300)


def shown():
    """Return the table of the page: {what: {module: points}}."""
    text = PAGE.read_text("utf-8")
    table = text.partition("<!-- submissions -->\n")[2].partition("\n<!-- end -->")[0]
    head, _, *lines = [
        [c.strip() for c in line.strip("|").split("|")] for line in table.split("\n")
    ]
    return {what: dict(zip(head[1:], cells, strict=True)) for what, *cells in lines}


@pytest.mark.slow
@EACH
def test_what_people_get_who_did_some_work(module, tmp_path):
    got = {}
    for number, (what, files) in enumerate(fair(module).items()):
        grade = points(module, files, tmp_path / str(number))
        got[what] = grade.points
        assert shown()[what][module] == f"{grade.points:.1f}", f"{what}: {grade}"
    assert got["right"] == got["right, and prints 8 MB"] == 10
    assert 3 < got["half right"] <= 6
    assert got["wrong in value and slope"] < 1


@pytest.mark.parametrize("trick", [REPLACING, WALKING, FORGING, LEFT_OVER])
def test_tricks_add_nothing_to_half_of_the_work(trick, tmp_path):
    for module in ("huber", "lion"):
        (text,) = fair(module)["half right"].values()
        honest = points(module, {f"{module}.py": text}, tmp_path / module).points
        files = {f"{module}.py": f"{text}\ndef trick():\n{textwrap.indent(trick, '    ')}\n"}
        # At the first call, when the process is known to the grader as one that works.
        step = {"huber": "        r = prediction", "lion": "        gradients = net"}[module]
        late = files[f"{module}.py"].replace(step, f"        trick()\n{step}")
        assert late != files[f"{module}.py"]
        got = points(module, {f"{module}.py": late}, tmp_path / f"{module}-trick").points
        assert got <= honest


@pytest.mark.slow
@EACH
def test_what_people_get_who_did_none(module, tmp_path):
    for number, (what, files) in enumerate(hostile(module).items()):
        grade = points(module, files, tmp_path / str(number))
        assert shown()[what][module] == f"{grade.points:.1f}", f"{what}: {grade}"
        assert grade.points < 1, f"{what}: {grade}"


def test_the_table_has_all():
    for module in EXERCISES:
        assert {what for what, cells in shown().items() if module in cells} == {
            *fair(module),
            *hostile(module),
        }
        assert len(hostile(module)) >= 12


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("`while True` in the module", "your code takes too long"),
        ("`os._exit(0)`", "your code ended the process"),
        ("`sys.exit(0)`", "SystemExit: 0: your code ends the process (softplus.py, line 5"),
        (
            "imports elunet's solution",
            "it imports elunet.layers; solve the exercise without it",
        ),
        ("walks through frames and memory", "it looks into memory that is not its own"),
        ("writes a verdict to every file", "your code sent something other than numbers"),
        ("leaves threads and a process running", "it starts or ends another process (os.fork)"),
        ("allocates 10 GB", "MemoryError"),
        ("looks for the solution", "your code was stopped: it reads "),
        ("is not Python", "SyntaxError: expected ':' (softplus.py, line 1)"),
        ("has another file name", "expected softplus.py, got my_solution_final.py"),
    ],
)
def test_it_is_said_why_nothing_could_be_graded(what, said, tmp_path):
    grade = points("softplus", hostile("softplus")[what], tmp_path)
    assert grade.points == 0
    assert said in "\n".join(grade.notes)


def test_what_is_printed_is_kept_short(tmp_path):
    grade = points("huber", fair("huber")["right, and prints 8 MB"], tmp_path)
    assert grade.points == 10
    assert set(grade.printed) == {"x"}
    assert len(grade.to("gradescope")) < 20_000


@pytest.fixture
def no_fence(monkeypatch, tmp_path):
    """Leave the guard away: what is left is that only numbers come back."""
    folder = tmp_path / "without"
    folder.mkdir()
    for file in _process.HERE.glob("*.py"):
        (folder / file.name).write_text(file.read_text("utf-8"), "utf-8")
    (folder / "_guard.py").write_text(
        "def make_guard(*given): pass\ndef arm(hook): pass\n", "utf-8"
    )
    monkeypatch.setattr(_process, "HERE", folder)
    monkeypatch.setattr(_process, "PACKAGE", Path(elunet.__file__).parent)


LATER = """
import os, sys, time
marker = {marker!r}
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                time.sleep(0.05)
                open(marker, "a").write(str(os.getpid()) + "\\n")
        os._exit(0)
"""


def test_without_the_guard_nothing_is_left_over(no_fence, tmp_path):
    marker = tmp_path / "marker"
    marker.touch()
    text = fair("huber")["right"]["huber.py"] + LATER.format(marker=str(marker))
    grade = points("huber", {"huber.py": text}, tmp_path / "in")
    assert grade.points == 10
    written = marker.read_text()
    assert written  # they ran, and outlived their parents and their session
    time.sleep(0.5)
    assert marker.read_text() == written


@pytest.mark.parametrize(
    "what",
    [
        "replaces NumPy's and pytest's functions",
        "walks through frames and memory",
        "writes a verdict to every file",
        "imports elunet's solution",
        "brings its own numpy, elunet and pytest",
    ],
)
def test_without_the_guard_there_are_no_points_either(what, no_fence, tmp_path):
    for module in ("huber", "gradient_check"):
        assert points(module, hostile(module)[what], tmp_path / module).points == 0


@pytest.mark.parametrize("seed", range(6))
def test_whatever_comes_over_the_border_the_grader_lives(seed, no_fence, tmp_path):
    """A submission that writes the grader's own messages, with one thing wrong in each."""
    rng = random.Random(seed)
    kinds = ["int", "float", "array", "tuple", "dict", "object", "held", "scalar", "empty", "x"]
    junk = [None, True, -1, 10**30, "1e999", "<f8", "O", [], [[]], {}, [0] * 40, ["array", 0, -8]]

    def node(depth=0):
        if depth > 3 or rng.random() < 0.3:
            return rng.choice(junk)
        return [rng.choice(kinds), *(node(depth + 1) for _ in range(rng.randrange(5)))]

    keys = ["result", "state", "raised", "ended", "op", "fine", "arguments", "named", "method"]
    messages = [
        {
            "message": {key: node() for key in keys if rng.random() < 0.6},
            "blocks": rng.choice([[], [[0, 8]], [[1, 3]], [["a", {}]], node(), 7]),
            "dead": rng.choice([[], [0], [[]], node(), None]),
        }
        for _ in range(300)
    ]
    text = (
        "import os, struct\n"
        f"for text in {[json.dumps(m) for m in messages]!r}:\n"
        "    head = text.encode()\n"
        "    for handle in range(3, 20):\n"
        "        try:\n"
        "            os.write(handle, struct.pack('<II', len(head), 8) + head + bytes(8))\n"
        "        except OSError:\n"
        "            pass\n"
    )
    for module in ("lion", "gradient_check"):
        files = {f"{module}.py": NOTHING[module] + text}
        assert points(module, files, tmp_path / module).points == 0
        late = NOTHING[module].replace("pass\n", "write()\n")
        body = textwrap.indent(text, "    ")
        files = {f"{module}.py": f"def write():\n{body}\n{late}"}
        assert points(module, files, tmp_path / f"{module}-late").points == 0


def table(folder):
    """Return the table of the page."""
    lines = [["submission", *EXERCISES], ["---"] * (len(EXERCISES) + 1)]
    found = {module: {**fair(module), **hostile(module)} for module in EXERCISES}
    for number, what in enumerate(found["softplus"]):
        cells = [
            points(module, found[module][what], folder / module / str(number)).points
            for module in EXERCISES
        ]
        lines.append([what, *(f"{points:.1f}" for points in cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":  # print it again
    print(table(Path(tempfile.mkdtemp())))
