"""Plots of `eln.compare`: final accuracies, and how the learning rates were chosen."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from elunet.plots._canvas import BLUE, GRAY, File, canvas, finish, light_grid, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from elunet.experiments.results import Comparison


def accuracies(result: Comparison, file: File = None, title: str = "") -> Figure:
    """Draw each rule's test accuracy: every seed, and the mean with its 95 % t-interval.

    A rule whose trials are not finished is left out.

    Parameters
    ----------
    result : Comparison
    file : path, optional
        Where to save the figure.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from pathlib import Path
    >>> import elunet as eln
    >>> from elunet.experiments import Trial
    >>> trial = Trial("final", "fa", 0.1, 0, 1.2, 0.55, 0.5, 0.52, 0, 9.0)
    >>> result = eln.Comparison(("fa",), (0.1,), [trial], Path())
    >>> len(eln.plots.accuracies(result).axes)
    1
    """
    rules = [rule for rule in result.rules if result.of(rule)]
    figure = canvas(8, 1.1 + 0.34 * len(rules))
    axes = figure.subplots()
    for place, rule in enumerate(rules):
        scores = [100 * trial.test_accuracy for trial in result.of(rule)]
        mean, half = (100 * value for value in result.accuracy(rule))
        axes.errorbar(mean, place, xerr=half, fmt="D", color=BLUE, capsize=4, markersize=6)
        axes.plot(scores, [place + 0.22] * len(scores), "o", color=GRAY, markersize=3, alpha=0.8)
    if result.rules[0] in rules:
        mean, _ = result.accuracy(result.rules[0])
        axes.axvline(100 * mean, color=BLUE, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(rules)), rules)
    axes.invert_yaxis()
    axes.set_xlabel("Test accuracy (%): mean with 95 % t-interval, single seeds below")
    light_grid(axes)
    return finish(figure, title, file)


def sweeps(result: Comparison, file: File = None, title: str = "") -> Figure:
    """Draw each rule's validation accuracy over the learning rate; the chosen rate is circled.

    Parameters
    ----------
    result : Comparison
    file : path, optional
        Where to save the figure.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Trials that diverged are left out; points are means over the sweep's seeds. Of a rule with
        variants, the chosen one is shown. A rule whose sweep is not finished is left out.

    Examples
    --------
    >>> from pathlib import Path
    >>> import elunet as eln
    >>> from elunet.experiments import Trial
    >>> trial = Trial("sweep", "fa", 0.1, 0, 1.2, 0.55, 0.5, 0.52, 0, 9.0)
    >>> result = eln.Comparison(("fa",), (0.1,), [trial], Path())
    >>> len(eln.plots.sweeps(result).axes)
    1
    """
    figure = canvas(9, 4.6)
    axes = figure.subplots()
    for place, (rule, (variant, best)) in enumerate(result.best.items()):
        groups: dict[float, list[float]] = {}
        for trial in result.of(rule, "sweep"):
            if trial.variant == variant and not trial.diverged:
                groups.setdefault(trial.rate, []).append(100 * trial.validation_accuracy)
        rates = sorted(groups)
        scores = [fmean(groups[rate]) for rate in rates]
        label = f"{rule} ({variant})" if variant else rule
        axes.plot(rates, scores, label=label, markersize=5, **style(place))
        for rate, score in zip(rates, scores, strict=True):
            if rate == best:
                axes.plot(rate, score, "o", color=GRAY, fillstyle="none", markersize=12)
    axes.set_xscale("log")
    axes.set_xlabel("Learning rate (the chosen one is circled)")
    axes.set_ylabel("Validation accuracy (%)")
    if result.best:
        figure.legend(loc="outside right center", frameon=False)
    light_grid(axes)
    return finish(figure, title, file)
