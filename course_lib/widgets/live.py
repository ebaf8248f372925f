"""`live`: something that runs for long, such as a training, with a preview and a stop button."""
import asyncio

import ipywidgets

from .. import plots
from .explorer import WIDGET_VIEW, build, close, error_text, image_widget


class Live:
    """Frames from a generator, drawn one by one while the kernel stays free for other messages."""

    def __init__(self, frames, alt: str, first: int, controls: dict):
        self.frames, self.alt, self.controls = frames, alt, controls
        self.shown, self.task = 0, None
        self._source = frames(**self.values())
        for _ in range(first):
            picture, text = next(self._source)
            self.shown += 1
        self.data, self.metadata = plots.bundle(picture, alt)
        self.image = image_widget(plots.to_png(picture, level=1), self.metadata)
        close(picture)
        self.start = ipywidgets.Button(description="Go on", icon="play")
        self.stop = ipywidgets.Button(description="Stop", icon="stop", disabled=True)
        self.again = ipywidgets.Button(description="From the start", icon="refresh")
        self.message = ipywidgets.HTML(text)
        self.view = ipywidgets.VBox([*controls.values(), ipywidgets.HBox([self.start, self.stop, self.again]), self.image, self.message])
        self.view.add_class("live")
        self.start.on_click(lambda _: self.run())
        self.stop.on_click(lambda _: self.halt())
        self.again.on_click(lambda _: self.restart())
        for control in controls.values():
            control.observe(lambda change: self.restart(), names="value")

    def values(self) -> dict:
        return {name: control.value for name, control in self.controls.items()}

    def run(self):
        """Go on in the kernel's event loop; between two frames the kernel answers buttons and sliders."""
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._run())

    def halt(self):
        """Stop after the present frame."""
        if self.task:
            self.task.cancel()

    def restart(self):
        self.halt()
        self._source, self.shown = self.frames(**self.values()), 0
        self.message.value = "Back at the start: press Go on."

    async def _run(self):
        self.start.disabled, self.stop.disabled = True, False
        try:
            for picture, text in self._source:
                self.shown += 1
                self.image.value, self.message.value = plots.to_png(picture, level=1), text
                close(picture)
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self.message.value = error_text(error)
        finally:
            self.task, self.start.disabled, self.stop.disabled = None, False, True

    def _repr_mimebundle_(self, include=None, exclude=None):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id}
        return {**self.data, WIDGET_VIEW: view}, self.metadata


def live(frames, *, alt: str, first: int = 1, **controls) -> Live:
    """A preview with Go on, Stop and From the start; make it the last line of a cell.

    frames(**values) is a generator function that yields (picture, text); controls are those of `explorer`, and when one changes,
    all begins anew. The first `first` frames are drawn at once, so that the stored notebook shows a real one; keep a frame's work
    below half a second, for the buttons answer between frames.
    """
    if first < 1:
        raise ValueError(f"first must be at least 1, so that there is a picture to show, got {first}")
    return Live(frames, alt, first, build(frames, controls))
