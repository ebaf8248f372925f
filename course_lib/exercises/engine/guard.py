"""Running somebody's function: a time limit, no megabytes on the screen, and everything as it was afterwards.

The time limit is SECONDS, or TIMES as long as the library's own function takes on this machine, if that is more. In the main
thread of Linux and macOS an alarm raises `TimeLimit` inside the answer, again and again until it gets out; it stops any Python
code, but only between two calls into C. Elsewhere (Windows, other threads) the answer runs in a thread of its own, which gets the
same exception. Either way a single call into C that never returns cannot be stopped: there the alarm waits with it, while the
thread is left behind and runs on until the kernel is restarted.
"""
import builtins
import contextlib
import ctypes
import io
import math
import operator
import random
import signal
import sys
import threading
import time
import types
import warnings

import numpy as np
import torch

from ... import losses, ops
from ...metrics import linear_separability, path_length, style_analysis
from ...styleclip import global_directions, mapper
from ...styleclip import losses as styleclip_losses
from ...training import schedule

COURSE = (ops, losses, style_analysis, path_length, schedule, linear_separability, styleclip_losses, mapper, global_directions)

SECONDS = 10                    # at least, for all cases of one check, and again for the model check
TIMES = 20                      # as long as the library's own function may an answer take, where that is more
KEPT = 300                      # characters of what an answer prints

# The state of Python, NumPy and PyTorch: how to read it, how to put it back, what of it must stay (all, if None), and advice.
OWN_DRAWS = "Draw with a `torch.Generator` of your own."
STATE = {
    "PyTorch's gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled, None,
                                "`with torch.no_grad():` ends with its block."),
    "PyTorch's default type": (torch.get_default_dtype, torch.set_default_dtype, None, "Give new tensors a type: `dtype=x.dtype`."),
    "the seed of PyTorch": (lambda: (torch.initial_seed(), torch.get_rng_state()), lambda state: torch.set_rng_state(state[1]),
                            lambda state: state[0], OWN_DRAWS),
    "the seed of NumPy": (np.random.get_state, np.random.set_state, lambda state: state[1].tobytes(), OWN_DRAWS),
    "the seed of Python": (random.getstate, random.setstate, lambda state: state[1][:-1], OWN_DRAWS),
    "PyTorch's number of threads": (torch.get_num_threads, torch.set_num_threads, None, "Leave it alone."),
    "PyTorch's anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, None, "Leave it alone."),
    "PyTorch's choice of deterministic algorithms": (torch.are_deterministic_algorithms_enabled,
                                                     torch.use_deterministic_algorithms, None, "Leave it alone."),
    "NumPy's treatment of errors": (np.geterr, lambda state: np.seterr(**state), None,
                                    "`with np.errstate(…):` ends with its block."),
    "Python's recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit, None, "Leave it alone."),
}


class TimeLimit(BaseException):
    """The answer took too long. No `Exception`, so that an answer's own `except Exception` does not swallow it."""


class OwnFunction(Exception):
    """The answer called the function that it is meant to be."""


class Replaced(Exception):
    """The answer put something else in the place of a function of PyTorch, Python or the course."""


class LeftBehind(Exception):
    """The answer changed the state of Python, NumPy or PyTorch: what, and advice."""


class BadResult(Exception):
    """The answer gave something that the model check cannot go on with."""


def limit(seconds):
    """The seconds that an answer may take where the library's own function took `seconds` on this machine."""
    return max(SECONDS, TIMES * seconds)


def attempt(function, seconds):
    """Call function(); returns (value, None) or (None, exception). Ctrl-C, the kernel's stop button, passes through.

    Names of PyTorch, Python and the course that the call replaced or deleted are put back, and so is the STATE; both count as
    exceptions.
    """
    alarm = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    owners = (builtins, math, torch, torch.nn.functional, torch.linalg, torch.Tensor, *COURSE)
    kept = [(owner, dict(vars(owner))) for owner in owners]
    state, left = {name: read() for name, (read, *_) in STATE.items()}, []
    dtype, out, compiler = torch.get_default_dtype(), (sys.stdout, sys.stderr), "torch._dynamo" in sys.modules
    replaced = []

    def watched():
        value = function()
        left.append(changed(state))             # here, because the gradient mode belongs to a thread
        return value

    try:
        value, error = (_with_alarm if alarm else _in_thread)(watched, seconds)
    finally:
        for owner, names in kept:
            now = vars(owner)
            if len(now) == len(names) and all(map(operator.is_, now.values(), names.values())):
                continue
            for name in [name for name, thing in names.items() if now.get(name, kept) is not thing and name != "_"]:
                setattr(owner, name, names[name])
                replaced.append(f"{owner.__name__}.{name}")
            for name in now.keys() - names.keys() if owner in (torch.Tensor, *COURSE) else ():
                delattr(owner, name)
                replaced.append(f"{owner.__name__}.{name}")
        if torch.get_default_dtype() != dtype:
            replaced = [name for name in replaced if name != "torch.Storage"]       # it follows the default type
        if not compiler and "torch._dynamo" in sys.modules:
            replaced = [name for name in replaced if name != "torch.manual_seed"]   # by PyTorch's compiler, when it is imported
        for name in left[0] if left else changed(state):
            STATE[name][1](state[name])
        sys.stdout, sys.stderr = out
    if replaced:
        return None, Replaced(replaced[0])
    if left and left[0] and error is None:
        return None, LeftBehind(left[0][0], STATE[left[0][0]][3])
    return value, error


def changed(state):
    """The names of STATE that are no longer as they were."""
    return [name for name, (read, _, part, _) in STATE.items() if (part or _all)(read()) != (part or _all)(state[name])]


def _all(state):
    return state


def _with_alarm(function, seconds):
    finished = False

    def ring(signum, frame):
        if not finished and frame.f_code is not _with_alarm.__code__:
            raise TimeLimit

    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    before, interval = signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), 0.005)
    value = error = None
    try:
        value = function()
    except KeyboardInterrupt:
        raise
    except BaseException as raised:
        error = raised
    finally:
        finished = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if before:
            signal.setitimer(signal.ITIMER_REAL, max(before - (time.monotonic() - began), 0.001), interval)
    if error is None and time.monotonic() - began > seconds:
        return None, TimeLimit()
    return value, error


def _in_thread(function, seconds):
    result = [None, None]
    grad = torch.is_grad_enabled()

    def work():
        try:
            with torch.set_grad_enabled(grad):
                result[0] = function()
        except BaseException as raised:
            result[1] = raised

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    for _ in range(300):                        # an answer may swallow some
        if not thread.is_alive():
            break
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(TimeLimit))
        thread.join(0.01)
    else:
        return None, TimeLimit("runs on")
    if isinstance(result[1], KeyboardInterrupt):
        raise result[1]
    return tuple(result)


class Printed(io.TextIOBase):
    """Takes the place of stdout and stderr: keeps the beginning, counts the rest."""

    def __init__(self):
        self.kept, self.length = "", 0

    def writable(self):
        return True

    def write(self, text):
        self.length += len(text)
        if len(self.kept) < KEPT:
            self.kept += text[:KEPT - len(self.kept)]
        return len(text)

    def close(self):
        pass

    def __str__(self):
        return self.kept if self.length <= KEPT else f"{self.kept}… ({self.length:,} characters in all)"


@contextlib.contextmanager
def sandbox():
    """A place for answers: gradients on, random numbers as before; prints and warnings go to the `Printed` it yields.

    One thread: the tensors are small, and on a busy machine two threads wait for each other for seconds.
    """
    printed, threads = Printed(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), torch.random.fork_rng(devices=[]),
              torch.enable_grad(), warnings.catch_warnings()):
            warnings.simplefilter("ignore")
            yield printed
    finally:
        torch.set_num_threads(threads)


def _refuse(*args, **kwargs):
    from course_lib.exercises.engine.guard import OwnFunction
    raise OwnFunction


@contextlib.contextmanager
def without(functions):
    """Inside, every reference to these functions raises OwnFunction: their code is exchanged, not only their name."""
    codes = [function.__code__ for function in functions]
    try:
        for function in functions:
            function.__code__ = _refuse.__code__
        yield
    finally:
        for function, code in zip(functions, codes):
            function.__code__ = code


def copy_of(function):
    """The same function as an object of its own, which `without` leaves alone."""
    copy = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__,
                              function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
