"""`explorer`: a picture that follows sliders.

The stored notebook keeps the picture of the first values with its alt text; the view of the widgets beside it, whose
identifiers are random, is stripped when notebooks are built. No Output widget and no `clear_output`: the controls write PNG
bytes into one Image widget, so two runs give equal outputs and no figure flickers.
"""
import asyncio
import html
import inspect
import weakref
from dataclasses import dataclass

import ipywidgets
import matplotlib.pyplot as plt
import traitlets
from matplotlib.figure import Figure

from .. import plots
from .display import Display, close_widgets, hold

explorers: weakref.WeakSet["Explorer"] = weakref.WeakSet()       # those that are alive


@dataclass
class redraw:
    """A button that counts its presses: as the control of a seed, each press resamples."""
    text: str = "Draw again"


class Explorer(Display):
    """A picture, its controls by name, and the function that draws it: `explorer.draw(psi=0.3)` gives PNG bytes."""

    def __init__(self, render, alt: str, delay: float, controls: dict, specs=()):
        super().__init__(alt, controls, specs)
        self.render, self.delay, self._waiting = render, delay, None
        self.first = self.values()
        picture = render(**self.first)
        self.data, self.metadata = plots.bundle(picture, alt)
        self.describe(render)
        close(picture)
        self.image = image_widget(self.draw(**self.first), self.metadata)
        self.message = ipywidgets.HTML()
        self.show("explorer", self.image, self.message)
        self.on_change(self._changed)
        explorers.add(self)

    def draw(self, **values) -> bytes:
        """PNG bytes of the picture for these values; those not named keep the values that the explorer began with."""
        picture = self.render(**{**self.first, **values})
        png = plots.to_png(picture, level=1)
        close(picture)
        return png

    def update(self) -> None:
        """Draw the present values; an error appears under the picture."""
        self._waiting = None
        try:
            self.image.value, self.message.value = self.draw(**self.values()), ""
        except Exception as error:
            self.message.value = error_text(error)

    def _changed(self):
        if not self.delay:
            return self.update()
        if self._waiting:
            self._waiting.cancel()
        try:
            self._waiting = asyncio.get_running_loop().call_later(self.delay, self.update)
        except RuntimeError:
            self.update()

    def close(self) -> None:
        if waiting := vars(self).get("_waiting"):
            waiting.cancel()
        explorers.discard(self)
        super().close()


def explorer(render, *, alt: str, delay: float = 0.0, **controls) -> Explorer:
    """A picture that follows its controls; make it the last line of a cell.

    render(**values) → figure, PIL image or image tensors. A control is (low, high) or (low, high, step) for a slider, a
    sequence of names for a menu, a text for a line to type in, True or False for a box, `redraw()` for a button, or any widget
    with a value. It begins with the default of render's argument of that name, else with its first value. With `delay` (seconds)
    the picture is drawn only when the controls have not changed for that long: use it where drawing takes more than 100 ms.
    Raises ValueError without a control and for a control that is none of these.
    """
    if not controls:
        raise ValueError("explorer needs at least one control, such as psi=(0, 1, 0.1)")
    made = Explorer(render, alt, delay, build(render, controls), controls.values())
    hold(made)
    return made


def build(function, controls: dict) -> dict:
    """The controls of `explorer` as widgets, each at the default of the function's argument of its name."""
    defaults = {name: p.default for name, p in inspect.signature(function).parameters.items() if p.default is not p.empty}
    built = {}
    try:
        for name, spec in controls.items():
            built[name] = _control(name, spec, defaults.get(name))
    except ValueError:
        close_widgets(control for name, control in built.items() if control is not controls[name])
        raise
    return built


def error_text(error: Exception) -> str:
    """An error in red, as HTML."""
    return f'<span style="color:#b00020">{html.escape(f"{type(error).__name__}: {error}")}</span>'


def _control(name, spec, default):
    style = {"description": name.replace("_", " "), "style": {"description_width": "110px"}, "layout": {"width": "430px"}}
    if isinstance(spec, ipywidgets.Widget):
        return spec
    if isinstance(spec, redraw):
        return _button(spec.text, default or 0)
    if isinstance(spec, str):
        return ipywidgets.Text(value=spec if default is None else default, continuous_update=False, **style)
    if isinstance(spec, bool):
        return ipywidgets.Checkbox(value=spec if default is None else default, indent=True, **style)
    if isinstance(spec, tuple) and len(spec) in (2, 3) and all(isinstance(v, (int, float)) for v in spec):
        low, high, step = (*spec, 1)[:3]
        kind = ipywidgets.IntSlider if all(isinstance(v, int) for v in (low, high, step)) else ipywidgets.FloatSlider
        value = low if default is None else default
        if not low <= value <= high:
            raise ValueError(f"{name} begins at {value}, outside its slider from {low} to {high}")
        steps = (value - low) / step
        if abs(steps - round(steps)) > 1e-6:                # a browser would round it, and show another picture
            raise ValueError(f"{name} begins at {value}, between two steps of {step} from {low}")
        if kind is ipywidgets.FloatSlider:
            style["readout_format"] = f".{max(2, len(f'{step:g}'.partition('.')[2]))}f"
        return kind(value=value, min=low, max=high, step=step, **style)
    if isinstance(spec, (list, tuple)) and spec:
        return ipywidgets.Dropdown(options=list(spec), value=spec[0] if default is None else default, **style)
    raise ValueError(f"{name}={spec!r} is no control: give (low, high, step), a list of names, a text, True, False or redraw()")


def _button(text, value):
    """A button with a `value` that each press raises by one."""
    class CountingButton(ipywidgets.Button):
        value = traitlets.Int(0)

    button = CountingButton(description=text, value=value, layout={"margin": "2px 2px 2px 118px"})
    button.on_click(lambda b: setattr(b, "value", b.value + 1))
    return button


def image_widget(png: bytes, metadata: dict) -> ipywidgets.Image:
    """An Image widget as wide as the stored picture, at most as wide as the page."""
    width = metadata["image/png"].get("width")
    layout = {"align_self": "flex-start", "max_width": "100%", "width": f"{width}px" if width else "auto"}
    return ipywidgets.Image(value=png, format="png", layout=layout)


def close(picture) -> None:
    """Close a picture that is a matplotlib figure."""
    if isinstance(picture, Figure):
        plt.close(picture)
