"""`live`: something that runs for long, such as a training, with a preview and a stop button."""
import asyncio

import ipywidgets

from .. import plots
from .display import Display, hold, weakly
from .sliders import build, close, error_text, image_widget


class Live(Display):
    """Frames from a generator, drawn one by one while the kernel stays free for other messages."""

    def __init__(self, frames, alt: str, first: int, controls: dict, specs=()):
        super().__init__(alt, controls, specs)
        self.frames, self.shown, self.task = frames, 0, None
        self._source = frames(**self.values())
        for _ in range(first):
            frame = next(self._source, None)
            if frame is None:
                raise ValueError(f"there are {self.shown} frames, and the first {first} are to be shown; yield more, "
                                 "or lower first")
            picture, text = frame
            self.shown += 1
        self.data, self.metadata = plots.bundle(picture, alt)
        self.describe(frames)
        self.metadata["explorer"]["first"] = first
        self.image = image_widget(plots.to_png(picture, level=1), self.metadata)
        close(picture)
        self.start = ipywidgets.Button(description="Go on", icon="play")
        self.stop = ipywidgets.Button(description="Stop", icon="stop", disabled=True)
        self.again = ipywidgets.Button(description="From the start", icon="refresh")
        self.message = ipywidgets.HTML(text)
        self.show("live", ipywidgets.HBox([self.start, self.stop, self.again]), self.image, self.message)
        for button, method in ((self.start, self.run), (self.stop, self.halt), (self.again, self.restart)):
            button.on_click(weakly(method))
        self.on_change(self.restart)

    def run(self):
        """Go on in the kernel's event loop; between two frames the kernel answers buttons and sliders."""
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._run())

    def halt(self):
        """Stop after the present frame."""
        if task := vars(self).get("task"):
            task.cancel()

    def restart(self):
        self.halt()
        self._source, self.shown = self.frames(**self.values()), 0
        self.message.value = "Back at the start: press Go on."

    async def _run(self):
        start, stop = self.start, self.stop             # a preview that is closed meanwhile has none
        start.disabled, stop.disabled = True, False
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
            self.task, start.disabled, stop.disabled = None, False, True

    def close(self):
        """Stop after the present frame and close."""
        self.halt()
        super().close()


def live(frames, *, alt: str, first: int = 1, **controls) -> Live:
    """A preview with Go on, Stop and From the start; make it the last line of a cell.

    frames(**values) is a generator function that yields (picture, text); controls are those of `explorer`, and when one changes,
    all begins anew. The first `first` frames are drawn at once, so that the stored notebook shows a real one; keep a frame's work
    below half a second, for the buttons answer between frames.
    """
    if first < 1:
        raise ValueError(f"first must be at least 1, so that there is a picture to show, got {first}")
    made = Live(frames, alt, first, build(frames, controls), controls.values())
    hold(made)
    return made
