"""Counts samples: agreed, not expressible and why, disagreed; and prints them as tables."""

from __future__ import annotations

import re
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import elunet

PACKAGE = str(Path(elunet.__file__).parent)
LIMITS = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 3e-4}
"""How far two results may be apart, as a share of the largest number (at least 1)."""


class NotExpressible(Exception):  # noqa: N818 - of these two, one is none
    """The sample asks for what elunet does not have."""


class Disagreed(AssertionError):  # noqa: N818
    """elunet computes something else than the peer."""


def reason(text: str) -> str:
    """Return an error's message without what differs from sample to sample."""
    text = re.sub(r"\([^()]*\)", "(...)", text.split("\n")[0])
    return re.sub(r"-?\d+(\.\d+)?", "n", text.split(", got ")[0])


@dataclass
class Counts:
    """What became of a peer's samples."""

    source: str
    reason: Callable[[str], str] = reason
    agreed: Counter[str] = field(default_factory=Counter)
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)
    disagreed: list[str] = field(default_factory=list)

    def take(self, kind: str, name: str, check: Callable[[], None]) -> None:
        """Check a sample; what elunet refuses with an error of its own is not expressible.

        An error that NumPy or these scripts raise is no refusal, but something to be fixed.
        """
        try:
            check()
        except NotExpressible as reason:
            self.missing[kind, str(reason)] += 1
        except Exception as error:
            raised = traceback.extract_tb(error.__traceback__)[-1].filename
            if isinstance(error, ValueError | TypeError) and raised.startswith(PACKAGE):
                self.missing[kind, self.reason(str(error))] += 1
            else:
                self.disagreed.append(f"{kind}, {name}: {type(error).__name__}: {error}")
        else:
            self.agreed[kind] += 1

    @property
    def row(self) -> str:
        """The line of a Markdown table."""
        counts = self.agreed.total(), self.missing.total(), len(self.disagreed)
        return f"| {self.source} | " + " | ".join(f"{n:,}" for n in counts) + " |"

    def text(self) -> str:
        """Return what agreed by kind, and what is missing by reason."""
        agreed = [f"  {n:5d}  {kind}" for kind, n in sorted(self.agreed.items())]
        reasons = [f"  {n:5d}  {kind}: {why}" for (kind, why), n in self.missing.most_common()]
        parts = [self.source, "agreed:", *agreed, "not expressible:", *reasons, "disagreed:"]
        return "\n".join([*parts, *(f"  {each}" for each in self.disagreed or ["none"])])


HEAD = "| samples | agreed | not expressible | disagreed |\n|---|---:|---:|---:|"


def same(what: str, ours: np.ndarray, theirs: np.ndarray, limit: float | None = None) -> None:
    """Raise `Disagreed` unless two arrays are equal up to rounding."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape:
        raise Disagreed(f"{what} of shape {ours.shape}, not {theirs.shape}")
    if limit is None:
        limit = LIMITS[theirs.dtype]
    finite = np.isfinite(theirs)
    wide = np.where(finite, theirs, 0).astype(np.float64)
    apart = np.abs(np.where(finite, ours, 0) - wide).max(initial=0)
    if not apart <= limit * max(1.0, np.abs(wide).max(initial=0)):
        raise Disagreed(f"{what} is off by {apart:.2g}")
    if not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True):
        raise Disagreed(f"{what} differs where it is not finite")
