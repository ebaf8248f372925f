"""What test_lessons asks of the kernel of a lesson after its cells ran."""
import base64
import time

import torch

from course_lib import widgets
from course_lib.widgets import display

DESCRIBED = "description", "min", "max", "step", "options", "value"


def explorers():
    """The explorers of the lesson, in their order."""
    return [made for _, together in display._shown.values() for made in together if made in widgets.explorers]


def controls():
    """For each explorer its controls by name: the kind of each, and what it offers."""
    return [{name: {"kind": type(control).__name__, **{key: getattr(control, key) for key in DESCRIBED if hasattr(control, key)}}
             for name, control in explorer.controls.items()} for explorer in explorers()]


def draw(number, values):
    """The PNG, in base64, that the library draws for these values of explorer `number`."""
    return base64.b64encode(explorers()[number].draw(**values)).decode()


def seconds(enough):
    """For each explorer, by control, the seconds of one core that a picture takes: best of six, or the first within `enough`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)                # the time of a process counts what each of its threads waits for the others
    found = [{name: quickest(explorer, name, enough) for name in explorer.controls} for explorer in explorers()]
    torch.set_num_threads(threads)
    return found


def quickest(explorer, name, enough):
    control, start, best = explorer.controls[name], explorer.first[name], float("inf")
    for value in (getattr(control, "max", start), getattr(control, "min", start), start) * 2:
        began = time.process_time()
        explorer.draw(**{name: value})
        best = min(best, time.process_time() - began)
        if best < enough:
            break
    return best
