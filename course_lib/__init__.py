"""The library behind the course: StyleGAN and StyleCLIP, from equations to trained models.

Its modules are imported when they are first used: after `import course_lib`, `course_lib.zoo` is there.
"""
import os
import signal
import sys
from importlib import import_module
from pkgutil import iter_modules

__version__ = "0.1.0"
_MODULES = {module.name for module in iter_modules(__path__)}


def __getattr__(name):
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(_MODULES | globals().keys())


def stopped_early(*_):
    """Ctrl-C while a command still imports its modules, which takes seconds: the end, with one sentence and exit code 130."""
    os.write(2, f"\npython -m {_command()}: stopped before it began\n".encode())
    os._exit(130)


def _command():
    """The module of this package that `python -m` is about to run as a command, or "". While Python looks for a module, and imports
    its package, it has "-m" in place of the program's name; a program that imports the library is not in that state."""
    module = sys.orig_argv[sys.orig_argv.index("-m") + 1] if "-m" in sys.orig_argv[:-1] else ""
    return module if module.startswith(f"{__name__}.") else ""


if sys.argv[:1] == ["-m"] and _command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, stopped_early)             # until `commands.sentences`
