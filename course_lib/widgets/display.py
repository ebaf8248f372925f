"""What `explorer` and `live` share: a stored picture, the widgets beside it, and when they are closed.

A kernel keeps every widget that was not closed, and all that its callbacks refer to. So callbacks hold weak references, and the
widgets of a display are closed together: when nothing refers to the display any more, or when its cell runs again. A notebook need
not give an explorer a name, so this module refers to what each cell displays.
"""
import weakref

import ipywidgets
from IPython import get_ipython

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_shown: dict[str, tuple[int, list["Display"]]] = {}      # a cell → its last run, and what that run made


class Display:
    """A picture, `data` by mime type, with controls by name. specs: what the controls were built from; widgets among them belong to
    the caller and stay open."""

    def __init__(self, alt: str, controls: dict, specs=()):
        self.alt, self.controls, self.data, self.metadata, self.view = alt, controls, {"text/plain": alt}, {}, None
        self._widgets, self._observed = [control for control in controls.values() if control not in specs], []
        self._finalize = weakref.finalize(self, close_widgets, self._widgets)
        self._finalize.atexit = False               # a kernel that ends has closed its connection

    def values(self) -> dict:
        """The controls' present values by name."""
        return {name: control.value for name, control in self.controls.items()}

    def describe(self, function) -> None:
        """Store beside the picture which function draws it and what its controls are, for readers without a kernel."""
        self.metadata["explorer"] = {"function": function.__name__,
                                     "controls": [{"name": name} | described(control) for name, control in self.controls.items()]}

    def show(self, css: str, *children) -> None:
        """The view: the controls and `children` below each other, under the style class `css`."""
        self.view = ipywidgets.VBox([*self.controls.values(), *children])
        self.view.add_class(css)
        self._widgets += [self.view, *(found for child in children for found in (child, *getattr(child, "children", ())))]

    def on_change(self, method) -> None:
        """Call `method` when a control changes."""
        call = weakly(method)
        for control in self.controls.values():
            control.observe(call, names="value")
            self._observed.append((control, call))

    def close(self) -> None:
        """Close the widgets and let go of everything but the alt text."""
        for control, call in self._observed:
            control.unobserve(call, names="value")
        self._finalize()
        alt = self.alt
        vars(self).clear()
        Display.__init__(self, alt, {})

    def _repr_mimebundle_(self, include=None, exclude=None):
        view = {WIDGET_VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id}} if self.view else {}
        return {**self.data, **view}, self.metadata


def weakly(method):
    """A callback with any arguments that calls a bound method while its object exists, without keeping it alive."""
    reference = weakref.WeakMethod(method)

    def call(*_):
        if alive := reference():
            alive()
    return call


KINDS = {"IntSlider": "slider", "FloatSlider": "slider", "Dropdown": "menu", "Text": "line", "Checkbox": "box"}


def described(control) -> dict:
    """A control as JSON: its kind (slider, menu, line, box, or button, which counts its presses), its label, what it offers, and
    the value that it begins with."""
    offered = {name: getattr(control, name) for name in ("min", "max", "step", "options", "value") if hasattr(control, name)}
    if "options" in offered:
        offered["options"] = list(offered["options"])
    return {"kind": KINDS.get(type(control).__name__, "button"), "label": control.description, **offered}


def close_widgets(widgets) -> None:
    """Close widgets with their layouts and styles, which are widgets too."""
    for widget in widgets:
        for part in (getattr(widget, "style", None), widget.layout, widget):
            if isinstance(part, ipywidgets.Widget):
                part.close()


def hold(display: Display) -> None:
    """Keep a display alive for the cell that runs, and close those of the cell's earlier run. Outside a notebook, do nothing."""
    shell = get_ipython()
    if shell is None:
        return
    typed = shell.user_ns["In"]                                              # the cells that ran, the present one last
    message = shell.get_parent() if hasattr(shell, "get_parent") else {}
    callback = message.get("header", {}).get("msg_type", "execute_request") != "execute_request"
    cell = "" if callback else message.get("metadata", {}).get("cellId") or typed[-1]
    run, made = _shown.get(cell, (None, []))
    if run != len(typed):
        for old in made:
            old.close()
        made = []
    _shown[cell] = len(typed), [*made, display]
