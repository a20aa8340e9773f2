"""The result of a check: a small table if all gradients are right, else an error with the place.

Both are made of the same rows, one for each array that was compared. So a failed check also shows
which arrays are right.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field

from elunet._types import Array, Shape
from elunet.testing import _html

__tracebackhide__ = True  # pytest shows the frames of the code that is checked


@dataclass(frozen=True)
class Row:
    """One compared array.

    Attributes
    ----------
    array : str
        Its name: ``"dx"``, ``"grads['W']"``, ``"conv1.W"``.
    max_abs_error : float
        Largest difference between the analytic and the numeric gradient.
    max_rel_error : float
        Largest difference relative to the larger of the two values (and to no less than a
        thousandth of the array's largest gradient).
    checked, size : int
        Entries compared one by one, and entries in all. Where ``checked < size`` a random
        direction through the whole array was compared as well.
    kinks : int
        Entries left out because the function has no derivative there.
    wrong : int
        Entries that differ by more than the tolerance.
    index : tuple of int or None
        Where the difference is worst.
    analytic, numeric : float
        The two values there.
    cause : str
        The likely cause, or "".
    errors : ndarray or None
        Of a wrong gradient the absolute error of every entry, in the array's shape, NaN where
        nothing was compared. None for a right one, and for very large arrays.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> (row,) = eln.testing.check_layer(eln.layers.Tanh(), np.array([[0.5, 2.0]])).rows
    >>> row.array, row.checked
    ('dx', 2)
    """

    array: str
    max_abs_error: float
    max_rel_error: float
    checked: int
    size: int
    kinks: int = 0
    wrong: int = 0
    index: Shape | None = None
    analytic: float = 0.0
    numeric: float = 0.0
    cause: str = ""
    errors: Array | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the array passed."""
        return self.wrong == 0

    def describe(self) -> str:
        """Say what is wrong, where, by how much, and the likely cause."""
        place = "" if self.index is None else str(list(self.index))
        lines = [
            f"{self.array} is wrong at {self.wrong} of {self.checked} entries checked",
            f"  worst at {self.array}{place}: analytic {self.analytic:.8g}, "
            f"numeric {self.numeric:.8g}",
        ]
        if self.cause:
            lines.append(f"  likely cause: {self.cause}")
        return "\n".join(lines)


def table(rows: Sequence[Row]) -> str:
    """Format the rows as a table."""
    head = ["array", "max abs error", "max rel error", "entries checked", ""]
    body = []
    for row in rows:
        notes = "" if row.ok else "WRONG"
        if row.kinks:
            notes = (notes + f" {row.kinks} on kinks").strip()
        body.append(
            [
                row.array,
                f"{row.max_abs_error:.1e}",
                f"{row.max_rel_error:.1e}",
                f"{row.checked} of {row.size}",
                notes,
            ]
        )
    return aligned([head, *body])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells as text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


@dataclass(frozen=True, repr=False)
class CheckResult:
    """A passed check; its repr is a table.

    Attributes
    ----------
    name : str
        What was checked.
    rows : tuple of Row
        One for each array.
    notes : tuple of str
        What else the reader should know, such as an attribute that was not checked.

    Examples
    --------
    >>> import numpy as np
    >>> import elunet as eln
    >>> result = eln.testing.check_layer(eln.layers.Tanh(), np.array([[0.5, 2.0]]))
    >>> result.name, len(result.rows)
    ('Tanh()', 1)
    """

    name: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def arrays(self) -> list[str]:
        """Names of the arrays that were compared."""
        return [row.array for row in self.rows]

    @property
    def max_abs_error(self) -> float:
        """Largest absolute error over all arrays."""
        return max((row.max_abs_error for row in self.rows), default=0.0)

    @property
    def max_rel_error(self) -> float:
        """Largest relative error over all arrays."""
        return max((row.max_rel_error for row in self.rows), default=0.0)

    def __repr__(self) -> str:
        lines = [f"{self.name}: ok", table(self.rows)]
        return "\n".join(lines + [f"note: {note}" for note in self.notes])

    def _repr_html_(self) -> str:
        return _html.report(self.name, "ok", self.rows, self.notes)


class GradientCheckError(AssertionError):
    """A gradient (or an update rule) is wrong, or cannot be checked as it is.

    Attributes
    ----------
    array : str
        The array at fault, or "".
    index : tuple of int or None
        The worst entry.
    cause : str
        The likely cause, or "".
    rows : tuple of Row
        The arrays that were compared until then.
    """

    def __init__(
        self,
        message: str,
        array: str = "",
        index: Shape | None = None,
        cause: str = "",
        rows: Sequence[Row] = (),
    ) -> None:
        super().__init__(message)
        self.array = array
        self.index = index
        self.cause = cause
        self.rows = tuple(rows)

    def _repr_html_(self) -> str:
        name, _, text = str(self).partition(": ")
        verdict = "a gradient is wrong" if self.rows else text
        return _html.report(name, verdict, self.rows)

    def _render_traceback_(self) -> list[str]:
        """Show the report instead of the checker's own calls, where a notebook shows an error."""
        shown = _shown_in_notebook(self) if self.rows else False
        frames = traceback.extract_tb(self.__traceback__)
        own = os.path.dirname(__file__)
        users = [frame for frame in frames if not frame.filename.startswith(own)]
        text = str(self).partition("\n")[0] if shown else str(self)
        return [*traceback.format_list(users[-2:]), f"{type(self).__name__}: {text}"]


def _shown_in_notebook(error: GradientCheckError) -> bool:
    """Show the HTML report if this is a notebook; return whether it is one."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return False
    shell.display_pub.publish({"text/html": error._repr_html_(), "text/plain": str(error)})
    return True


def conclude(
    name: str, rows: Sequence[Row], notes: Sequence[str] = (), advice: str = ""
) -> CheckResult:
    """Return the result if all rows passed.

    Raises
    ------
    GradientCheckError
        If one did not; the message describes each wrong array, then shows the table.
    """
    wrong = [row for row in rows if not row.ok]
    if not wrong:
        return CheckResult(name, tuple(rows), tuple(notes))
    first = wrong[0]
    texts = [f"{name}: {first.describe()}", *(row.describe() for row in wrong[1:])]
    if advice:
        texts.append(advice)
    texts.append(table(rows))
    raise GradientCheckError("\n".join(texts), first.array, first.index, first.cause, rows)
