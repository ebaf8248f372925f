"""What an exercise is: one declaration from which an answer is judged, and from which the tests are derived.

It says what is asked, the cases that an answer is tried on, wrong answers that deserve a name, other right ones, and a check in a
trained model. See `lessons/lesson00.py`.
"""
import inspect
import time
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property

from . import cases, guard
from .placeholder import ____


@dataclass(frozen=True)
class Mistake:
    name: str
    message: str
    function: object
    visible: bool               # whether the picture of the model check shows it


def wrong(message, *functions, visible=True, **named):
    """Wrong answers that are told the same message: functions, each under its own name, and name=function."""
    named = {function.__name__: function for function in functions} | named
    return [Mistake(name, message, function, visible) for name, function in named.items()]


@dataclass(eq=False)
class Exercise:
    id: str
    stub: str                       # the signature, as in the notebook
    _: KW_ONLY
    conventions: str
    hints: tuple
    production: object              # the library's function, which `solution` shows
    reference: object = None        # production with the parameters of the stub, where they differ
    forbidden: tuple = ()           # further functions of the library that an answer must not call
    returns: str = "tensor"         # or "numbers", "tensors": one or several; or "tensor and state": only the first has a gradient
    single: bool = False            # float32 is enough, whatever the type of the inputs: the library computes it in that
    tolerance: float = 1e-8         # of values in float64
    without_gradient: tuple = ()    # the parameters that need none, as noise and stored means; tensors in lists never get one
    inspect: object = None          # (answer) → (mistake, message) for a right result found in a way that the exercise excludes
    needs: str | None = None        # a model without which the lesson is not there, beside that of the model check
    model_check: object             # a ModelCheck
    cases: list                     # of case(…)
    wrong: list = field(default_factory=list)               # of wrong(…)
    alternatives: list = field(default_factory=list)        # right answers that are written otherwise

    def __post_init__(self):
        self.reference = self.reference or self.production
        if self.model_check:
            self.model_check = replace(self.model_check, function=self.model_check.function or self.production)

    @property
    def mistakes(self):
        return [mistake for group in self.wrong for mistake in group]

    @property
    def name(self):
        return self.id.split(".")[1]

    @property
    def source(self):
        """The stub as it stands in the notebook."""
        return f"def {self.stub}:\n    return ____\n"

    @property
    def hidden(self):
        return (self.production, *self.forbidden)

    @cached_property
    def signature(self):
        names = {"____": ____}
        exec(self.source, names)
        return inspect.signature(names[self.stub.split("(")[0]])

    @cached_property
    def parameters(self):
        """(required, optional) names."""
        parameters = self.signature.parameters.values()
        return [p.name for p in parameters if p.default is p.empty], [p.name for p in parameters if p.default is not p.empty]

    def as_declared(self, answer):
        """An answer that may be called in every way that the stub may."""
        required, optional = self.parameters
        way = cases.binds(answer, required, optional)

        def declared(*args, **kwargs):
            bound = self.signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return cases.call(answer, way, bound.arguments, required)
        return declared

    @cached_property
    def _timed(self):
        began = time.monotonic()
        return self.outcomes(self.reference, seconds=600), time.monotonic() - began

    @property
    def expected(self):
        return self._timed[0]

    @property
    def limit(self):
        """The seconds that an answer may take for all cases."""
        return guard.limit(self._timed[1])

    @cached_property
    def mistaken(self):
        return [self.outcomes(mistake.function, seconds=600) for mistake in self.mistakes]

    def outcomes(self, function, way=None, seconds=guard.SECONDS, data=False):
        """What the function makes of every case, until it takes too long. data: see `cases.run`."""
        required, optional = self.parameters
        way = way or cases.binds(function, required, optional)
        if way == "order":                  # no name says which optional ones a case omits
            function, way = self.as_declared(function), "names"
        found, end = [], time.monotonic() + seconds
        for case in self.cases:
            found.append(cases.run(function, way, case, required, max(end - time.monotonic(), 0.01), self.returns,
                                   self.single, self.tolerance, self.without_gradient, data))
            if isinstance(found[-1].error, guard.TimeLimit):
                break
        return found
