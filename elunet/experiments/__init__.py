"""Experiments: recipes of runs, learning rules side by side, and how to measure them."""

from elunet.experiments import recipes
from elunet.experiments.adversarial import Robustness, fgsm, pgd, robustness
from elunet.experiments.alignment import (
    Alignment,
    AngleLog,
    alignments,
    angle,
    read_angles,
    write_angles,
)
from elunet.experiments.comparison import compare
from elunet.experiments.planning import Plan, plan
from elunet.experiments.results import Comparison
from elunet.experiments.series import SeriesRow, series, series_table
from elunet.experiments.statistics import t_interval, t_quantile
from elunet.experiments.trials import Trial

__all__ = [
    "Alignment",
    "AngleLog",
    "Comparison",
    "Plan",
    "Robustness",
    "SeriesRow",
    "Trial",
    "alignments",
    "angle",
    "compare",
    "fgsm",
    "pgd",
    "plan",
    "read_angles",
    "recipes",
    "robustness",
    "series",
    "series_table",
    "t_interval",
    "t_quantile",
    "write_angles",
]
