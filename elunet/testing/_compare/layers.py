"""All that is checked of a layer, or of a network with its loss: side effects, then gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from elunet.testing._compare.check import check
from elunet.testing._compare.layer_causes import factors_of, look_closer
from elunet.testing._compare.settings import Settings
from elunet.testing._compare.unreadable import check_unreadable
from elunet.testing._find.places import unlooked
from elunet.testing._perturb.layer_problem import problem_of
from elunet.testing._perturb.layer_run import Runner, Sample
from elunet.testing._perturb.side_effects import check_backward, check_forward
from elunet.testing._report import CheckResult, Row

__tracebackhide__ = True  # pytest shows the frames of the code that is checked


def check_passes(
    run: Runner, settings: Settings, hint: Callable[[list[Row]], str] = lambda rows: ""
) -> tuple[CheckResult, Sample]:
    """Check both passes of a runner.

    Returns
    -------
    CheckResult
    Sample
        What the passes gave at first.

    Raises
    ------
    GradientCheckError
        If a pass has side effects or a gradient is wrong or missing.
    """
    y = check_forward(run)
    sample = check_backward(run, y, run.draw_dy(settings.rng(0), y))
    problem = replace(
        problem_of(run),
        factors=partial(factors_of, run),
        look_closer=partial(look_closer, run),
        hint=hint,
    )
    result = check(problem, settings)
    check_unreadable(run, y)
    constants = [path for path, source in run.options.gradients.items() if source is None]
    if constants:
        run.note(f"{', '.join(constants)}: declared a constant, not checked")
    for text in unlooked(run.root):
        run.note(text)
    return replace(result, notes=tuple(run.notes)), sample
