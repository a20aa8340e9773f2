"""Long lists of Python numbers are compared as arrays.

Each number of its own would need passes of its own, twenty thousand numbers hours. As one array
they are sampled, with a random direction through all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from elunet._types import Array
from elunet.testing._find.places import is_number
from elunet.testing._find.returned import Claim
from elunet.testing._find.values import ITEM, long_lists
from elunet.testing._perturb.problem import Changed, Problem, Stage


def with_lists_as_arrays(problem: Problem, claims: dict[str, Claim]) -> Problem:
    """Return the same problem, in which a long list of numbers with gradients is one value."""
    lists = long_lists([path for path in claims if is_number(problem.values.get(path))])
    if not lists:
        return problem
    within = {path for items in lists.values() for path in items}

    def expanded(changed: Changed) -> Changed:
        single = {path: value for path, value in changed.items() if path not in lists}
        for name in lists.keys() & changed.keys():
            others = np.flatnonzero(changed[name] != values[name])
            single |= {lists[name][i]: float(changed[name][i]) for i in others}
        return single

    def gathered(changed: Changed, dy: Array) -> dict[str, Claim]:
        found = problem.claims(expanded(changed), dy)
        made = {path: claim for path, claim in found.items() if path not in within}
        for name, items in lists.items():
            first = ITEM.fullmatch(found[items[0]].name)
            gradients = np.array([np.asarray(found[path].gradient) for path in items])
            made[name] = Claim(first[1] if first else f"d{name}", gradients.reshape(-1))
        return made

    def stages(rng: np.random.Generator) -> Iterator[Stage]:
        for stage in problem.stages(rng) if problem.stages is not None else ():
            changed = {path: value for path, value in stage.changed.items() if path not in within}
            for name, items in lists.items():
                if items[0] in stage.changed:
                    changed[name] = np.array([stage.changed[path] for path in items])
            yield replace(stage, changed=changed, hiding=[p for p in stage.hiding if p in changed])

    values = {path: value for path, value in problem.values.items() if path not in within}
    for name, items in lists.items():
        values[name] = np.array([problem.values[path] for path in items], problem.dtype)
    return replace(
        problem,
        values=values,
        output=lambda changed: problem.output(expanded(changed)),
        claims=gathered,
        stages=None if problem.stages is None else stages,
        factors=lambda path, y: problem.factors(lists.get(path, [path])[0], y),
    )
