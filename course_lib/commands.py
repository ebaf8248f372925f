"""What all commands share: types of options with their ranges, errors as one sentence, files written whole or not at all.

    parser = commands.Parser(prog="python -m course_lib.example", description=__doc__)
    parser.add_argument("--samples", type=commands.whole(1), default="10k", help="images to draw")
    with commands.sentences(parser.prog):
        commands.try_output(args.out)
        …
        commands.write_json(args.out, result)
"""
import argparse
import json
import math
import os
import signal
import sys
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import torch
from safetensors import SafetensorError

from . import stopped_early
from .files import UNWRITTEN, own_json, said, says, try_folder, try_output, write_image, write_json, write_text, writing

__all__ = ["Help", "Parser", "Terminated", "checked_device", "counted", "default_device", "device", "input_file", "input_folder",
           "no_mps", "noted_stops", "number", "own_json", "power_of_two", "refuse_idle", "said", "seed", "sentences", "show_json",
           "show_table", "try_folder", "try_output", "whole", "write_image", "write_json", "write_text", "writing"]

# Parts of messages of RuntimeError and AssertionError: memory or a device is missing.
MEMORY = "out of memory", "can't allocate memory", "not enough memory"
DEVICE = "No CUDA GPUs", "no NVIDIA driver", "not compiled with CUDA", "invalid device ordinal"


# Options

class Help(argparse.RawDescriptionHelpFormatter):
    """Help that shows the range and the default of each option."""

    def _get_help_string(self, action):
        notes = [getattr(action.type, "range", "")]
        if action.option_strings and not isinstance(action.default, bool) and action.default not in (None, "", argparse.SUPPRESS):
            default = action.default if isinstance(action.default, (list, tuple)) else [action.default]
            notes.append(f"default: {' '.join(map(str, default))}")
        notes = "; ".join(note for note in notes if note)
        return f"{action.help or ''}{f' ({notes})' if notes else ''}".replace("%", "%%")


class Parser(argparse.ArgumentParser):
    """A parser whose help shows ranges and defaults, and whose errors are one sentence, on whatever terminal."""

    def __init__(self, **options):
        replace_unprintable()
        super().__init__(**{"formatter_class": Help, **options})

    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def whole(least=1, most=10 ** 12):
    """The type of a whole number from `least` to `most`, which may be written 2000, 2k, 2.4m or 1e3."""
    def convert(text):
        text = str(text).strip().lower()
        scale = {"k": 1000, "m": 1_000_000}.get(text[-1:], 1)
        try:
            value = Decimal(text[:-1] if scale > 1 else text) * scale
        except ArithmeticError:
            value = Decimal("nan")
        if value.is_finite():
            _within(text, value, least, most)
        if not value.is_finite() or value % 1:
            raise argparse.ArgumentTypeError(f'"{text}" is not a whole number; write 2000, 2k or 2.4m')
        return int(value)

    convert.range = f"{least:,} or more" if most == 10 ** 12 else f"{least:,} to {most:,}"
    return convert


def number(least=-math.inf, most=math.inf, above=None, below=None):
    """The type of a finite number from `least` to `most`, or `above` and `below` without the limits themselves."""
    def convert(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise argparse.ArgumentTypeError(f'"{text}" is not a number')
        _within(text, value, least, most, above, below)
        return value

    limits = [f"above {above:g}" if above is not None else f"at least {least:g}" if least > -math.inf else "",
              f"below {below:g}" if below is not None else f"at most {most:g}" if most < math.inf else ""]
    convert.range = f"{least:g} to {most:g}" if max(-least, most) < math.inf else " and ".join(filter(None, limits))
    return convert


def _within(text, value, least, most, above=None, below=None):
    for wrong, limit in ((value < least, f"at least {least:,}"), (value > most, f"at most {most:,}"),
                         (above is not None and value <= above, f"above {above}"),
                         (below is not None and value >= below, f"below {below}")):
        if wrong:
            raise argparse.ArgumentTypeError(f'"{text}" must be {limit}')


def power_of_two(least=4, most=1024):
    """The type of a resolution in pixels."""
    def convert(text):
        value = whole(0)(text)
        if value < 1 or value & value - 1:
            raise argparse.ArgumentTypeError(f"{text} is not a power of two; take one from {least} to {most}")
        _within(text, value, least, most)
        return value

    convert.range = f"a power of two from {least} to {most}"
    return convert


seed = whole(0, 2 ** 32 - 1)


def device(text):
    """The type of --device: "cpu", "cuda", "cuda:N" or "mps", if it is there."""
    kind, colon, index = text.partition(":")
    if kind not in ("cpu", "cuda", "mps") or colon and not (index.isascii() and index.isdecimal()):
        raise argparse.ArgumentTypeError(f'"{text}" is no device; write cpu, cuda, cuda:N or mps')
    there = {"cpu": 1, "cuda": torch.cuda.is_available() and torch.cuda.device_count(),
             "mps": torch.backends.mps.is_available()}[kind]
    if not there:
        raise argparse.ArgumentTypeError(f"PyTorch finds no {kind.upper()} device on this machine; take cpu")
    if int(index or 0) >= there:
        raise argparse.ArgumentTypeError(f"there is no {text} on this machine; its last is {kind}:{there - 1}")
    return text


def checked_device(value):
    """As `device`, for a call from Python: value → torch.device. Raises ValueError for one that is not there."""
    try:
        return torch.device(device(str(value)))
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from None


def default_device():
    """"cuda" where PyTorch finds a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def no_mps(device, what):
    """Raise ValueError for an MPS device. what: the reason, as the beginning of a sentence."""
    if torch.device(device).type == "mps":
        raise ValueError(f"{what}, which MPS does not have; take --device cpu")


def input_file(text):
    """The type of a file that is to be read."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text} {'is no file' if Path(text).exists() else 'does not exist'}")
    return Path(text)


def input_folder(text):
    """The type of a folder that is to be read."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} {'is no folder' if Path(text).exists() else 'does not exist'}")
    return Path(text)


def refuse_idle(*options):
    """Raise ValueError for an option that would change nothing. options: (its name, its value, None where it is not given, whether
    it counts, what it needs for that)."""
    for name, value, counts, needed in options:
        if value is not None and not counts:
            raise ValueError(f"{name} needs {needed}")


# Output

def counted(number, noun):
    """"1 picture", "2,000 pictures"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


@contextmanager
def noted_stops(patient=False):
    """Within the block, Ctrl-C and SIGTERM are appended as exceptions to the list that it gets, so that it can finish a step and
    then raise them. A second signal ends the block at once, unless it is `patient`."""
    stops, before = [], {}

    def note(number, frame):
        stops.append(Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
        if not patient:
            signal.signal(number, before[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, note)
    except ValueError:                                          # not in the main thread, which alone gets signals
        pass
    try:
        yield stops
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def sentences(prog, interrupted="stopped"):
    """Around the work of a command: what a user or the machine can cause ends it with one sentence on stderr; anything else is a
    fault of the program, and keeps its traceback.

    interrupted: what is said after a KeyboardInterrupt without a message, or a function () → that sentence. Exit codes: 1; 130
    after Ctrl-C, 143 after SIGTERM.
    """
    replace_unprintable()
    with _signals():
        try:
            yield
            print(end="", flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)        # or Python complains again at its end
            sys.exit(f"{prog}: nobody reads its output any more")
        except (ValueError, OSError, FloatingPointError, SafetensorError) as error:
            sys.exit(f"{prog}: {said(error)}")
        except (MemoryError, RuntimeError, AssertionError) as error:
            if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or says(error, MEMORY):
                sys.exit(f"{prog}: the memory does not suffice; smaller batches or networks, or fewer images, need less")
            if not says(error, DEVICE + UNWRITTEN):
                raise
            sys.exit(f"{prog}: {said(error)}")
        except KeyboardInterrupt as stop:
            print(f"\n{prog}: {str(stop) or (interrupted() if callable(interrupted) else interrupted)}", file=sys.stderr)
            sys.exit(143 if isinstance(stop, Terminated) else 130)


def replace_unprintable():
    """Let stdout and stderr print "?" for a character that their encoding lacks, instead of raising UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


@contextmanager
def _signals():
    def stop(*_):
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, stop)
        if signal.getsignal(signal.SIGINT) is stopped_early:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:                                          # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def show_table(text):
    """Print a table for people on stderr; stdout is for JSON."""
    print(text, file=sys.stderr)


def show_json(value):
    """Print a result as JSON on stdout."""
    print(json.dumps(value, indent=1))
