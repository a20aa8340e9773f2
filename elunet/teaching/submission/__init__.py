"""Grade students' submissions, with points that can be trusted.

A submission is code that nobody has read. It runs in a process of its own, and may write into its
own memory what it likes: the tests, the expected values and the verdict are in the grader's
process, and all that comes from the submission are numbers.

    _process.py     the submission's processes: a fresh folder, limits, the end
    _inside.py      what runs in them
    _guard.py       what a submission may open, import and start
    _border.py      calls between the two sides: numbers, texts, arrays
    _stand_in.py    classes of the submission as the tests see them
    _tests.py       an exercise's tests, run on a submission
    _checker.py     a submission that is itself a gradient check, run on wrong layers
    _exercise.py    what an exercise is, and what its tests are worth
    _grade.py       the points, as text and for Gradescope and PrairieLearn
    _handout.py     exercises without solutions; files for graders
"""

from elunet.teaching.submission._exercise import Exercise, exercises
from elunet.teaching.submission._grade import FORMS, Grade, Mark
from elunet.teaching.submission._run import grade_submission

__all__ = ["FORMS", "Exercise", "Grade", "Mark", "exercises", "grade_submission"]
