"""An exercise: a folder with a task, a stub, tests, a solution, and the points of each test.

`points.toml` in the folder says how points are divided:

    module = "softplus"                # the file that is handed in is softplus.py
    needed = ["test_known_values"]     # nothing counts unless these pass
    [[part]]
    name = "gradients"
    points = 5
    tests = ["test_gradients", "test_known_slopes"]

Each test of a part gets an equal share of its points. An exercise in which a checker is written has
``check = "check"``, the function's name; its tests are the names of wrong layers in the zoo.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "exercises"
"""The folder of elunet's own exercises."""


@dataclass(frozen=True)
class Part:
    """Some tests that share points."""

    name: str
    points: float
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes
    ----------
    name : str
        The folder's name.
    folder : pathlib.Path
    module : str
        The module that is handed in.
    needed : tuple of str
        The tests without which nothing counts.
    parts : tuple of Part
    check : str
        The name of the function, if a checker is to be written; else "".
    uses_elunet : bool
        Whether the module may import elunet's class Layer.

    Examples
    --------
    >>> from elunet.teaching import exercises
    >>> exercises()[0].module, exercises()[0].tests.name
    ('softplus', 'test_softplus.py')
    """

    name: str
    folder: Path
    module: str
    needed: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    check: str = ""
    uses_elunet: bool = False

    @property
    def tests(self) -> Path:
        """The file of tests."""
        return self.folder / f"test_{self.module}.py"

    @property
    def stub(self) -> Path:
        """The file that students fill in."""
        return self.folder / f"{self.module}.py"

    @property
    def title(self) -> str:
        """The task's first line."""
        return (self.folder / "task.md").read_text("utf-8").partition("\n")[0].removeprefix("# ")


def exercises() -> list[Exercise]:
    """Return elunet's own exercises, from easy to hard.

    Examples
    --------
    >>> from elunet.teaching import exercises
    >>> [exercise.module for exercise in exercises()][:4]
    ['softplus', 'concat', 'huber', 'lion']
    """
    return [_read(path.parent) for path in sorted(FOLDER.glob("*/points.toml"))]


def find(name: str | Path) -> Exercise:
    """Return an exercise by its name ("01_softplus", "softplus") or by its folder.

    Raises
    ------
    ValueError
        If there is none, or its points.toml is not as it should be.
    """
    own = exercises()
    for exercise in own:
        if str(name) in (exercise.name, exercise.module):
            return exercise
    if (Path(name) / "points.toml").is_file():
        return _read(Path(name).resolve())
    names = ", ".join(exercise.module for exercise in own)
    raise ValueError(
        f"grade: expected an exercise among {names}, or a folder with a points.toml, got"
        f" {str(name)!r}"
    )


def _read(folder: Path) -> Exercise:
    file = folder / "points.toml"
    try:
        found = tomllib.loads(file.read_text("utf-8"))
        parts = [
            Part(part["name"], float(part["points"]), tuple(part["tests"]))
            for part in found.pop("part", [])
        ]
        needed = tuple(found.pop("needed", []))
        exercise = Exercise(folder.name, folder, needed=needed, parts=tuple(parts), **found)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"grade: {file}: {error}") from error
    if not exercise.parts or not all(part.tests for part in parts):
        raise ValueError(f"grade: {file}: expected at least one part, each with tests")
    return exercise
