"""The model check: a trained network, or a small experiment, runs with the answer, and is shown beside the reference."""
import contextlib
import copy
import sys
from dataclasses import dataclass
from numbers import Real

import torch

from ... import plots
from . import cases, guard

STYLEGAN2, STYLEGAN, PGGAN = (f"{name}-portraits-64" for name in ("stylegan2", "stylegan", "pggan"))
SAME = 1e-3                     # the difference up to which two results are the same, where rounding makes no more


@dataclass(frozen=True)
class Shown:
    """Images, or curves, by the library and by the answer, and how often the answer was called.

    rounding: the difference that rounding alone makes here, where it has been measured.
    """
    reference: torch.Tensor
    images: torch.Tensor
    calls: int
    rounding: float = 0.0

    @property
    def difference(self):
        """The largest difference of a value, relative to the largest of the reference (of images at least 1)."""
        if self.images.shape != self.reference.shape:
            return float("inf")
        return (self.differences.max() / self.largest).item()

    @property
    def differences(self):
        return (self.images - self.reference).abs()

    @property
    def largest(self):
        return self.reference.abs().max().clamp(min=1 if self.reference.dim() == 4 else 0)

    @property
    def same(self):
        return self.difference < max(SAME, 10 * self.rounding)                   # False for NaN


@contextlib.contextmanager
def installed(owner, name, answer, adapt=None):
    """Inside, `owner.name` is the answer (networks call `ops.name`). Yields a list that grows with every call."""
    original, calls, inside = getattr(owner, name), [], []

    def counted(*args, **kwargs):
        if inside:
            raise guard.OwnFunction
        inside.append(True)
        try:
            value = answer(*args, **kwargs)
        finally:
            inside.pop()
        if not isinstance(value, (torch.Tensor, tuple, list, dict, Real)):
            raise guard.BadResult(f"returned {cases.form(value)}")
        calls.append(name)
        return value

    setattr(owner, name, adapt(counted) if adapt else counted)
    try:
        yield calls
    finally:
        setattr(owner, name, original)


@dataclass(frozen=True)
class ModelCheck:
    """render(network) draws images, or curves or bars, with the library's function, and again with the answer in its place.

    model, part: the trained network that it gets; model None: none. function: the one whose place the answer takes, where it is
    not the `production` of the exercise. adapt: gives an answer the parameters of that function. plot: Shown → picture.
    titles: over the images. who, what: for the sentence "who called yours n times and what".
    """
    render: object
    function: object = None
    adapt: object = None
    titles: tuple | None = None
    model: str | None = STYLEGAN2
    part: str = "G"
    plot: object = None
    who: str = "The generator"
    what: str = "draws the same portraits"

    @property
    def owner(self):
        """The module in which networks look the function up: they call `ops.name(…)`."""
        return sys.modules[self.function.__module__]

    def reference(self, network):
        with torch.random.fork_rng(devices=[]):
            return self.render(network).detach()

    def images(self, answer, network, shape=None):
        """The same by way of the answer, and the number of its calls. It runs in a copy of the network, for it may change its
        inputs. shape: what cannot be shown beside the reference raises."""
        network = copy.deepcopy(network)
        with installed(self.owner, self.function.__name__, answer, self.adapt) as calls, torch.random.fork_rng(devices=[]):
            found = self.render(network).detach()
        if shape is not None and getattr(found, "shape", None) != shape:
            raise guard.BadResult("gave pictures or curves of another shape")
        return found, len(calls)

    def rounding(self, network, reference, answers):
        """The largest difference that right answers make: what rounding in another order grows to in this network."""
        return max(Shown(reference, *self.images(answer, network, reference.shape)).difference for answer in answers)

    def in_words(self, shown):
        """By how much the answer's pictures or curves differ, and where, in words."""
        reference, images, differences = shown.reference, shown.images, shown.differences
        if reference.dim() == 4:
            i, _, row, column = place_of(differences.nan_to_num(torch.inf).argmax(), reference)
            title = f" (“{self.titles[i]}”)" if self.titles and i < len(self.titles) else ""
            count = (~(differences.flatten(1).amax(dim=1) / shown.largest < SAME)).sum()
            return (f"{count} of {len(images)} pictures differ, most of all number {i + 1}{title}, by {differences[i].max():.2g} "
                    f"in row {row}, column {column} (images go from about -1 to 1).")
        apart = ~(differences / shown.largest < SAME)
        x, i = place_of(apart.T.int().argmax(), apart.T)
        curve, place = self.plot.words(i, x)
        return (f"{curve} differs first at {place}, {images[i, x]:.3g} instead of {reference[i, x]:.3g}, and the largest "
                f"difference is {differences.max():.2g}.")

    def picture(self, shown):
        return self.plot(shown) if self.plot else grid(shown, self.titles)

    def alt(self, shown, name):
        if self.plot:
            verdict = f"A plot with the library's {name} and with yours: they {'are the same' if shown.same else 'differ'}"
        else:
            verdict = (f"{len(shown.reference)} pictures made with the library's {name}, and below them with yours: "
                       + ("both rows are the same" if shown.same else "the second row differs from the first"))
        return f"{verdict}." if shown.same else f"{verdict}: {self.in_words(shown)}"


def latents(generator, n, seed=3):
    return torch.randn(n, generator.z_dim, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def four_portraits(generator):
    """Four portraits on the reference path."""
    return generator(latents(generator, 4), psi=0.7, noise="const", impl="reference")


@torch.no_grad()
def way_between(generator, steps):
    """t [steps, 1] from 0 to 1, and ws [steps, num_ws, w_dim] on the straight way from one latent to another."""
    t = torch.linspace(0, 1, steps)[:, None]
    w = torch.lerp(*(w.expand(steps, -1) for w in generator.mapping(latents(generator, 2)).split(1)), t)
    return t, w[:, None].repeat(1, generator.num_ws, 1)


def descend(network, loss, lr):
    """One step down the gradient of a loss, if it has one."""
    if loss.requires_grad:
        parameters = list(network.parameters())
        grads = torch.autograd.grad(loss, parameters, allow_unused=True)
        with torch.no_grad():
            for parameter, grad in zip(parameters, grads):
                parameter -= 0 if grad is None else lr * grad


def place_of(index, tensor):
    """The indices of an entry, from its number."""
    return [int(i) for i in torch.unravel_index(index, tensor.shape)]


def grid(shown, titles=None):
    images = torch.cat([shown.reference, shown.images]).nan_to_num(nan=0.0)
    return plots.image_grid(images, columns=len(shown.reference), labels=["library", "yours"],
                            titles=titles and titles[:len(shown.reference)])


def curves(x, xlabel, ylabel, names=("",)):
    """How to draw curves [len(names), len(x)]: the library's wide and pale, the answer's thin over them."""
    def plot(shown):
        figure, axes = plots.plt.subplots()
        for i, name in enumerate(names):
            axes.plot(x, shown.reference[i], color=plots.COLORS[i], alpha=0.35, linewidth=6, label=f"{name}, library".strip(", "))
            axes.plot(x, shown.images[i], color=plots.COLORS[i], linewidth=1.5, label=f"{name}, yours".strip(", "))
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.legend()
        return drawn(figure)
    plot.words = lambda i, place: (f"the curve “{names[i] or ylabel}”", f"{xlabel} = {x[place]:.3g}")
    return plot


def bars(labels, names=("",)):
    """How to draw values [len(names), len(labels)]: the library's as wide, pale bars, the answer's as thin ones before them."""
    def plot(shown):
        figure, axes = plots.plt.subplots(1, len(names), sharey=True, squeeze=False)
        for axis, name, reference, values in zip(axes[0], names, shown.reference, shown.images):
            axis.bar(labels, reference, 0.8, alpha=0.35, label="library")
            axis.bar(labels, values.nan_to_num(0, 0, 0), 0.3, label="yours")
            axis.tick_params(axis="x", rotation=90)
            axis.set(title=name)
        axes[0, 0].legend()
        return drawn(figure)
    plot.words = lambda i, place: (f"“{names[i]}”", f"“{labels[place]}”")
    return plot


def drawn(figure):
    picture = plots.to_image(figure)
    plots.plt.close(figure)
    return picture.resize((picture.width // 2, picture.height // 2))
