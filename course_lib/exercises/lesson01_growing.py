"""Lesson 01, exercise 3: which resolution trains after so many images, and with which α."""
from numbers import Integral

import torch

from ..training import schedule
from .engine import Exercise
from .probes import Probe, leaves_of
from .proof import Proof, lines

THOUSANDS = [10 * i + 5 for i in range(125)]


def plan(network):
    """The resolution by the last one, and α, from 8 to 64 px: 200 thousand images stable, 100 thousand of fade."""
    found = [schedule.growing(1000 * images, 64, 8, 200_000, 100_000) for images in THOUSANDS]
    return torch.tensor([[float(resolution) / 64, float(alpha)] for resolution, alpha in found], dtype=torch.float64).T


def after(images, resolution=1024, what=None, **options):
    said = "".join(f", {name} = {value:,}" for name, value in options.items())
    return Probe(what or f"{images:,} images, resolution = {resolution}{said}", {"images": images, "resolution": resolution, **options})


def float_resolution(answer):
    """Whether a resolution is no integer; all else about the answer is right."""
    for probe in growing.probes:
        resolution, _ = leaves_of(growing.as_declared(answer)(**probe.inputs))
        if not isinstance(resolution, Integral):
            return "float resolution", (f"Right but for a type: the resolution is {resolution!r}, for: {probe.what}. Pixels are "
                                        "counted in integers, and `start * 2 ** n` is one if n comes from // or divmod.")


growing = Exercise(
    "01.growing", "growing(images, resolution, start=4, stable=600_000, fade=600_000)",
    conventions="Return (resolution, α) after `images` images, as Python numbers, the resolution an integer. Every resolution, "
                "from `start` up, trains for `stable` images at α = 1; then the doubled one fades in over `fade` images, with α "
                "from 0 to 1 in a straight line, and trains for `stable` images. The last is `resolution`: there α stays 1. While "
                "the new resolution fades in, it is the one to return. At the very image where a fade begins, the old resolution "
                "with α = 1 and the new with α = 0 are the same, and both are right. `fade` may be 0: then the next resolution is "
                "switched on at once.",
    production=schedule.growing, returns="numbers", inspect=float_resolution,
    probes=[after(0), after(300_000), after(750_000), after(900_000), after(1_130_000), after(1_200_000), after(1_500_000),
            after(603_000), after(1_197_000), after(2_175_000), after(4_300_000), after(8_700_000), after(9_450_000),
            after(20_000_000),
            after(55_000, 64, stable=40_000, fade=20_000), after(275_000, 64, stable=40_000, fade=20_000), after(290_000, 64, stable=40_000, fade=20_000),
            after(165_000, 64, stable=20_000, fade=50_000), after(190_000, 64, stable=20_000, fade=50_000),
            *(after(images, 256, start=32, stable=100, fade=80) for images in (101, 230, 500, 539, 650)),
            after(300, 16, start=16, stable=50, fade=40), after(75, 16, start=16, stable=50, fade=40),
            after(79, 32, stable=80, fade=0), after(81, 32, stable=80, fade=0), after(200, 32, stable=80, fade=0),
            after(900, 32, stable=80, fade=0)],
    proof=Proof("growing", plan, owner=schedule, model=None, who="The plot", what="shows the same curves",
                draw=lines(THOUSANDS, "thousand images", "", ("resolution / 64", "α"))),
    hints=("A stable phase and the fade after it belong together. How many of these pairs are behind you, and how many images into "
           "the present pair are you?",
           "grown, within = divmod(images, stable + fade). The resolution was doubled `grown` times: start * 2 ** grown. If that "
           "is `resolution` or more, you are at the end. Otherwise, within > stable says that the next one is fading in, and "
           "(within - stable) / fade is its α."))


def by_rule(length=lambda stable, fade: stable + fade, size=lambda start, grown: start * 2 ** grown,
            share=lambda within, stable, fade: (within - stable) / fade, during=1, calm=1.0, last=True, ahead=0):
    """growing with another length of a pair, resolution, or α: `during` how many doublings ahead a fade shows, `calm` the α of
    stable phases, `last` whether growth ends, `ahead` how many doublings early."""
    def rule(images, resolution, start=4, stable=600_000, fade=600_000):
        grown, within = divmod(images, length(stable, fade))
        if last and size(start, grown + ahead) >= resolution:
            return resolution, 1.0
        if within > stable:
            return size(start, grown + during), share(within, stable, fade)
        return size(start, grown), calm
    return rule


SHARE = "α is the share of the fade that is over: (images since the fade began) / fade."
ENDS = "Growth ends at `resolution`, and α stays 1 there."
PAIR = "The next fade begins after stable + fade images: each fade lies between two stable phases."


def with_fade_first(images, resolution, start=4, stable=600_000, fade=600_000):
    grown, within = divmod(images, stable + fade)
    if start * 2 ** grown > resolution:
        return resolution, 1.0
    return start * 2 ** grown, min(within / fade, 1.0) if fade else 1.0


def always_fading(images, resolution, start=4, stable=600_000, fade=600_000):
    grown, within = divmod(images, stable + fade)
    return min(start * 2 ** grown, resolution), min(within / fade, 1.0) if fade else 1.0


def ends_late(images, resolution, start=4, stable=600_000, fade=600_000):
    return by_rule()(images, resolution + 1, start, stable, fade) if start * 2 ** (images // (stable + fade)) <= resolution else (
        resolution, 1.0)


def in_thousands(images, resolution, start=4, stable=600_000, fade=600_000):
    return by_rule()(images / 1000, resolution, start, stable, fade)


def unguarded(images, resolution, start=4, stable=600_000, fade=600_000):
    grown, within = divmod(images, stable + fade)
    alpha = min(max((within - stable) / fade, 0.0), 1.0)
    if start << grown >= resolution:
        return resolution, 1.0
    return (start << grown + 1, alpha) if within > stable else (start << grown, 1.0)


def constants(images, resolution, start=4, stable=600_000, fade=600_000):
    return by_rule()(images, resolution, start)


def fixed_start(images, resolution, start=4, stable=600_000, fade=600_000):
    return by_rule()(images, resolution, 4, stable, fade)


def exchanged(images, resolution, start=4, stable=600_000, fade=600_000):
    return by_rule()(images, resolution, start, stable, fade)[::-1]


def alpha_only(images, resolution, start=4, stable=600_000, fade=600_000):
    return by_rule()(images, resolution, start, stable, fade)[1]


def resolution_only(images, resolution, start=4, stable=600_000, fade=600_000):
    return by_rule()(images, resolution, start, stable, fade)[0]


def stages_and_alpha(images, resolution, start=4, stable=600_000, fade=600_000):
    size, alpha = by_rule()(images, resolution, start, stable, fade)
    return size.bit_length() - start.bit_length(), alpha


def exponent_and_alpha(images, resolution, start=4, stable=600_000, fade=600_000):
    size, alpha = by_rule()(images, resolution, start, stable, fade)
    return size.bit_length() - 1, alpha


def last_fades_for_ever(images, resolution, start=4, stable=600_000, fade=600_000):
    size, alpha = by_rule(last=False)(images, resolution, start, stable, fade)
    return min(size, resolution), alpha


for _name, _message, _rule in (
        ("old_resolution_in_the_fade", "While the new resolution fades in, return the new one: its layers already run.",
         by_rule(during=0)),
        ("never_fades", "After `stable` images the next resolution fades in, with α between 0 and 1. Yours never does.",
         by_rule(share=lambda *_: 1.0, during=0)),
        ("alpha_falls", "α goes from 0 to 1: it is the weight of the new resolution. Yours falls.",
         by_rule(share=lambda within, stable, fade: 1 - (within - stable) / fade)),
        ("stable_not_subtracted", SHARE, by_rule(share=lambda within, stable, fade: within / fade)),
        ("stable_not_subtracted_but_cut", SHARE, by_rule(share=lambda within, stable, fade: min(within / fade, 1.0))),
        ("share_of_the_pair", SHARE, by_rule(share=lambda within, stable, fade: within / (stable + fade))),
        ("share_of_the_pair_after_stable", SHARE, by_rule(share=lambda within, stable, fade: (within - stable) / (stable + fade))),
        ("divided_by_stable", SHARE, by_rule(share=lambda within, stable, fade: (within - stable) / stable)),
        ("images_of_the_fade", SHARE, by_rule(share=lambda within, stable, fade: within - stable)),
        ("in_percent", "α goes from 0 to 1. Yours is in percent.",
         by_rule(share=lambda within, stable, fade: 100 * (within - stable) / fade)),
        ("whole_numbers", "Divide with /. // drops the fraction, and α stays 0.",
         by_rule(share=lambda within, stable, fade: (within - stable) // fade)),
        ("switched", "Between 0 and 1 α grows in a straight line. Yours is 1 at once.", by_rule(share=lambda *_: 1.0)),
        ("smoothed", "α grows in a straight line. You bend it.",
         by_rule(share=lambda within, stable, fade: (lambda a: a * a * (3 - 2 * a))((within - stable) / fade))),
        ("squared", "α grows in a straight line. You bend it.",
         by_rule(share=lambda within, stable, fade: ((within - stable) / fade) ** 2)),
        ("calm_alpha_zero", "In a stable phase the newest layers count in full: α is 1 there.", by_rule(calm=0.0)),
        ("fade_first", "A resolution first fades in, except the first: there is nothing to fade in from. `start` trains for `stable` "
         "images at α = 1.", with_fade_first),
        ("always_fading", "A resolution first fades in, except the first: there is nothing to fade in from. `start` trains for `stable` "
         "images at α = 1.", always_fading),
        ("ends_late", ENDS, ends_late),
        ("in_thousands", "images, stable and fade all count single images. You divide one of them by 1,000.", in_thousands),
        ("pairs_of_stable", PAIR, by_rule(length=lambda stable, fade: stable)),
        ("pairs_of_two_stables", PAIR, by_rule(length=lambda stable, fade: 2 * stable + fade)),
        ("grows_for_ever", ENDS, by_rule(last=False)),
        ("last_fades_for_ever", ENDS, last_fades_for_ever),
        ("last_without_fade", "The last resolution fades in like the others. Yours is there a stage early, without a fade.",
         by_rule(ahead=1)),
        ("added", "Every step doubles the resolution. You add.", by_rule(size=lambda start, grown: start + start * grown)),
        ("to_the_power", "Every step doubles the resolution. You multiply by `start`.",
         by_rule(size=lambda start, grown: start ** (grown + 1))),
        ("constants", "Use the parameters stable and fade. You write numbers in their place.", constants),
        ("fixed_start", "Use the parameter start. You begin at 4.", fixed_start),
        ("exchanged", "Return (resolution, α), in this order.", exchanged),
        ("alpha_only", "Return both numbers: (resolution, α).", alpha_only),
        ("resolution_only", "Return both numbers: (resolution, α).", resolution_only),
        ("stages_and_alpha", "Return the resolution in pixels. You return how often it was doubled.", stages_and_alpha),
        ("exponent_and_alpha", "Return the resolution in pixels. You return its exponent.", exponent_and_alpha)):
    _rule.__name__ = _name
    growing.mistake(_message)(_rule)

limited = by_rule(share=lambda within, stable, fade: min(max((within - stable) / fade, 0.05), 0.95))
limited.__name__ = "limited"
growing.mistake("α grows from 0 to 1, all the way. You keep it away from the ends.", visible=False)(limited)
unguarded.__name__ = "fade_of_nothing"
growing.mistake("With fade = 0 the next resolution is switched on at once. You divide by 0 there.", visible=False)(unguarded)


@growing.alternative
def image_by_phase(images, resolution, start=4, stable=600_000, fade=600_000):
    while start < resolution:
        if images < stable:
            return start, 1.0
        images -= stable
        start *= 2
        if images < fade:
            return start, images / fade
        images -= fade
    return resolution, 1.0


@growing.alternative
def by_level(images, resolution, start=4, stable=600_000, fade=600_000):
    """The official code: one number, lod, for both."""
    grown = images // (stable + fade)
    level = grown + (max(images - grown * (stable + fade) - stable, 0) / fade if fade else 0)
    lod = max(resolution.bit_length() - start.bit_length() - level, 0.0)
    return resolution // 2 ** int(lod), 1 - lod % 1


@growing.alternative
def in_a_list(images, resolution, start=4, stable=600_000, fade=600_000):
    grown, within = images // (stable + fade), images % (stable + fade)
    if start * 2 ** grown >= resolution:
        return [resolution, 1]
    return [start * 2 ** grown, 1] if within <= stable else [start * 2 ** (grown + 1), (within - stable) / fade]


EXERCISES = (growing,)
