"""The library behind the course: StyleGAN and StyleCLIP, from equations to trained models.

Its modules are imported when they are first used: after `import course_lib`, `course_lib.zoo` is there.
"""
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
