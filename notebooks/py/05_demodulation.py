# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · Demodulation: the droplet, and the algebra that removes it
#
# > **The claim** (Karras et al. 2020, §2): AdaIN's normalisation makes the generator draw a **droplet**, a blob in the feature
# > maps and often in the picture (like a drop of water on the print), in almost every image. Dividing the *weights* by their
# > expected effect does the same job without looking at the data, and the droplet goes away.
#
# This lesson shows the mechanism, by putting a droplet into two trained generators and a spike into a map by hand. Whether a
# trained AdaIN generator makes one by itself at 64 pixels is another question, which is measured further down; the paper sees it
# from about there on, and stronger above.
#
# You will
#
# - see how a single spike in a feature map lets a generator cheat instance normalisation;
# - move the style from the activations into the weights, and the normalisation after it (**modulate**, **demodulate**);
# - write the modulated convolution in both of its forms and run a trained generator on your code;
# - check the paper's assumption about variances on real activations, look for a droplet in two trained generators, and see which
#   resolution paints the picture.
#
# 100–120 minutes. You need lesson 00.

# %%
import json

import matplotlib.pyplot as plt
import torch

from course_lib import exercises, ops, plots, widgets, zoo
from course_lib.exercises import ____

torch.manual_seed(0)
torch.set_grad_enabled(False)
G = zoo.load("stylegan2-portraits-64")
ex = exercises.lesson("05")

# %% [markdown]
# ## A droplet, made by hand
#
# Take StyleGAN (lesson 03) and StyleGAN2, and put a large value into one place of all feature maps that enter the second
# convolution at 32 × 32 pixels: 10, 30, 100 and 300 standard deviations of each map. (A *forward hook* is called with what a
# layer gets and gives, and may change it; `b32.conv1` is that convolution; `noise="const"` keeps the noise the same.)
#
# > **Predict.** The place lies in the upper left corner. What happens to the rest of the portrait?

# %%
stylegan = zoo.load("stylegan-portraits-64")
droplets = (0, 10, 30, 100, 300)


def with_droplet(network, w, size, row=5, column=5):
    def change(layer, inputs):
        x = inputs[0].clone()
        x[:, :, row, column] = size * x.std(dim=(2, 3)) if size else x[:, :, row, column]
        return x, *inputs[1:]
    hook = network.synthesis.b32.conv1.register_forward_pre_hook(change)
    images = network.synthesis(w, noise="const")
    hook.remove()
    return images


z = torch.randn(5, G.z_dim, generator=torch.Generator().manual_seed(1))[3:]
drawn = {name: torch.stack([with_droplet(network, network.mapping(z), size) for size in droplets], dim=1)
         for name, network in (("StyleGAN", stylegan), ("StyleGAN2", G))}
plots.show(plots.image_grid(torch.cat([images.flatten(0, 1) for images in drawn.values()]), columns=5, scale=2,
                            labels=[name for name in drawn for _ in range(2)], titles=list(droplets)),
           alt="Two portraits of StyleGAN and two of StyleGAN2 with a droplet of 0, 10, 30, 100 and 300 standard deviations in the "
               "upper left corner. In StyleGAN the whole portrait blurs at 100 and pales at 300, too; "
               "in StyleGAN2 only the blob is seen.")
moved = {name: (images - images[:, :1])[..., 26:, 26:].square().mean(dim=(0, 2, 3, 4)).sqrt() for name, images in drawn.items()}
for name, values in moved.items():
    print(f"{name:9s} change of the pixels far from it, for {droplets}: " + ", ".join(f"{value:.2f}" for value in values))
assert moved["StyleGAN"][3] > 0.1 and moved["StyleGAN2"].max() < 0.01

# %% [markdown]
# In StyleGAN the whole portrait changes: at 100 it blurs, at 300 it pales as well, far from the place. In StyleGAN2 you see a
# blob, and nothing else moves. So in StyleGAN one place has power over all others, and this lesson is about how.
#
# ## The problem: a spike that silences a map
#
# StyleGAN sets the strength of every feature map with AdaIN. It first *normalises* the map, to mean 0 and standard deviation 1, and
# then scales it by the style:
#
# $$\mathrm{AdaIN}(x_i, y) = y_{s,i}\,\frac{x_i - \mu(x_i)}{\sigma(x_i)} + y_{b,i}$$
#
# The strength that the layers before had given the map is thrown away. A generator that wants to keep a map small where it
# matters can put a huge value in one place. Now $\sigma$ is about that place, and everything else, divided by it, is nearly zero.
#
# > **Predict.** Why cheat? The scale $y_{s,i}$ can turn a map down, too.
#
# <details><summary><b>Answer</b></summary>
#
# $y_s$ comes from $w$ alone, by one affine map. What the normalisation destroys are the magnitudes of the features *relative to
# each other*, as the layers before computed them: how strong each pattern is in this very image, where it met that noise and
# those other patterns. The paper's hypothesis (§2) is that the generator smuggles this information past the normalisation by a
# spike.
# </details>
#
# Take a real feature map of the trained generator, an output of `b32.conv1`, and put a spike into one pixel.

# %%
w = G.mapping(torch.randn(1, G.z_dim, generator=torch.Generator().manual_seed(55)))
features = {}
hook = G.synthesis.b32.conv1.register_forward_hook(lambda layer, inputs, out: features.update(b32=out))
portrait = G.synthesis(w, noise="const")
hook.remove()

x = features["b32"]                                   # [1, 128, 32, 32]
strongest = x.std(dim=(2, 3)).argmax().item()         # the map of the highest variance
heat = plots.diverging((x[0, strongest] - x[0, strongest].mean()) / x[0, strongest].std(), limit=2.5)
sheet = plots.image_grid(torch.stack([portrait[0], ops.upscale2d(heat[None])[0]]), scale=3, titles=["the portrait", "one map"])
plots.show(plots.with_caption(sheet, "blue: 2.5 standard deviations below the mean; red: above"),
           alt="A portrait, and one of its feature maps at 32 × 32 pixels: "
               "the map is low on the whole person and high in the background.")

# %%

def spiked(size, row=4, column=4):
    """The map with a spike of `size` standard deviations in one pixel."""
    y = x[:, [strongest]].clone()
    y[0, 0, row, column] = size * y.std()
    return y


def instance_norm(y):
    return ops.adain(y, torch.ones(1, 1), torch.zeros(1, 1))


# %% [markdown]
# > **Predict.** The spike is 300 standard deviations high, one pixel of 1,024. What is left of the standard deviation of the other
# > 1,023 pixels after instance normalisation: all of it, about a half, about a tenth?

# %%
rest = torch.ones(32, 32, dtype=torch.bool)
rest[4, 4] = False
sizes = [0, 10, 30, 100, 300, 1000]
left = [instance_norm(spiked(s))[0, 0][rest].std().item() for s in sizes]
for s, deviation in zip(sizes, left):
    print(f"spike of {s:5d} standard deviations   the rest keeps {deviation:.2f}")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# About a tenth. The variance of the spiked map is the old one (1) plus the spike's share, $300^2/1024 \approx 88$, so everything
# is divided by about $\sqrt{89} \approx 9.4$. At 1,000 standard deviations a thirtieth is left. One pixel out of 1,024 decides how
# large the other 1,023 are. The authors suspect that the generator uses this freedom, and that such a pixel is the droplet.
# </details>

# %% [markdown]
# Now let a whole layer work on it. AdaIN's last act, scaling by the style, stands directly before the next convolution, so the
# chain of layers can be cut anew (StyleGAN2, Fig. 2b):
#
# ```
# StyleGAN     … convolution → normalise → style │ convolution → normalise → style │ …
# the same     … convolution → normalise │ style → convolution → normalise │ style → …
# StyleGAN2    …                         │ style → convolution → divide by what is expected │ …
# ```
#
# (The shift $y_b$ goes: a bias after the convolution does its work.) Put the spike into one *input* map of the trained layer
# `b32.conv1`, and look at one output map, under the second line and under the third. You write the library's function for both,
# `ops.modulated_conv2d`, further down. It takes a larger spike now, because the output map listens to all input maps, and only
# one of them has the spike. Blue is below the map's mean, red above; colours end at 2.5 standard deviations.

# %%
layer = G.synthesis.b32.conv1
hook = layer.register_forward_hook(lambda layer, inputs, out: features.update(x=inputs[0], style=inputs[1]))
G.synthesis(w, noise="const")
hook.remove()


def layer_output(size, row=4, column=4):
    """One output map of the layer, under instance normalisation and under demodulation."""
    x, style = features["x"].clone(), features["style"]
    x[0, 0, row, column] = size * x.std()
    raw = ops.modulated_conv2d(x, layer.weight, style, demod=False, padding=1)
    demodulated = ops.modulated_conv2d(x, layer.weight, style, padding=1)
    return [y[0, strongest] for y in (ops.adain(raw, torch.ones(1, 128), torch.zeros(1, 128)), demodulated)]


# %%
calm = layer_output(0)[1]


def picture(size=1000, row=4, column=4):
    normalised, demodulated = layer_output(size, row, column)
    maps = normalised, (demodulated - calm.mean()) / calm.std()
    return torch.stack([plots.diverging(m, limit=2.5) for m in maps])


pairs = torch.cat([picture(size).unflatten(0, (1, 2)) for size in (0, 300, 1000, 3000)]).transpose(0, 1).flatten(0, 1)
plots.show(plots.image_grid(pairs, columns=4, labels=["instance norm", "demodulation"],
                            titles=[f"spike {size}" for size in (0, 300, 1000, 3000)]),
           alt="One output map with a spike of 0, 300, 1000 and 3000 deviations in one input map. Under instance normalisation the "
               "map fades as the spike grows; under demodulation only the place of the spike changes.")

# %%
far = torch.ones(32, 32, dtype=torch.bool)
far[:8, :8] = False
for size in (0, 300, 1000, 3000):
    normalised, demodulated = layer_output(size)
    print(f"spike {size:4d}   the rest keeps {normalised[far].std() / layer_output(0)[0][far].std():.2f} under instance norm, "
          f"{demodulated[far].std() / calm[far].std():.2f} under demodulation; around the spike "
          f"{(demodulated - calm).abs().max() / calm.std():3.0f} standard deviations pass")

# %% [markdown]
# Demodulation does not remove the spike, it lets it through. It just no longer silences the rest, so there is nothing to gain by
# drawing one.
#
# Move the spike and its size yourself: instance normalisation on the left, demodulation on the right.

# %%
def titled(size=1000, row=4, column=4):
    return plots.image_grid(picture(size, row, column), columns=2, scale=8, titles=["instance norm", "demodulation"])


widgets.explorer(titled, size=(0, 3000, 100), row=(0, 31), column=(0, 31),
                 alt="An output map with a spike in its input, after instance normalisation on the left and demodulation on the "
                     "right.")

# %% [markdown]
# ## The idea: normalise by what you *expect*, not by what you see
#
# Instance normalisation exists for one purpose: a style scales the maps, so without it the scales of all layers would multiply
# up. What does a style do to the output of a convolution? Let $i$ count the input maps, $j$ the output maps, and $k$ the places
# of the kernel; $x_{i,k}$ is the input under place $k$. Every layer computes its style $s$ from the latent with a small dense
# layer of its own, one number $s_i$ per input map. Output map $j$ is
#
# $$\sum_{i,k} (s_i\, w_{ijk})\, x_{i,k} \qquad\text{so the style might as well scale the weights:}\qquad
# w'_{ijk} = s_i \cdot w_{ijk} \quad\text{(Eq. 1)}$$
#
# If the inputs are independent, with mean 0 and standard deviation 1, the variances of the terms add, and the standard deviation of
# output map $j$ is
#
# $$\sigma_j = \sqrt{\sum_{i,k} {w'_{ijk}}^2} \quad\text{(Eq. 2)}\qquad\text{Divide by it:}\qquad
# w''_{ijk} = w'_{ijk} \Big/ \sqrt{\sum_{i,k} {w'_{ijk}}^2 + \epsilon} \quad\text{(Eq. 3)}$$
#
# Nothing in Eq. 3 depends on $x$. There is nothing to cheat.

# %% [markdown]
# ### Exercise 1 · modulate
#
# `weight` is $[O, I, k, k]$: output maps first, then input maps, rows and columns of the kernel. `style` is $[N, I]$, one number
# per image and *input* map. Return $[N, O, I, k, k]$: each image gets weights of its own. In all four exercises gradients must pass
# through your function.

# %%
def modulate(weight, style):
    return ____


ex.modulate.check(modulate)

# %% [markdown]
# ### Exercise 2 · demodulate
#
# `weight` is $[N, O, I, k, k]$, already modulated. Return the same shape, every filter of every image divided by the root of its
# own sum of squares. $\epsilon$ goes **inside** the root.

# %%
def demodulate(weight, eps=1e-8):
    return ____


ex.demodulate.check(demodulate)

# %% [markdown]
# > **Predict.** You multiply one number $s_i$ by 100. What happens to the output of a demodulated convolution with a *single*
# > input map? And with 32 input maps, when only one of their $s_i$ grows?

# %%
weight, inputs = torch.randn(16, 32, 3, 3), torch.randn(1, 32, 64, 64)
only_first = ops.modulated_conv2d(inputs[:, :1], weight[:, :1], torch.ones(1, 1), padding=1)
one_large = torch.ones(1, 32)
one_large[0, 0] = 100
for name, maps, s in (("1 map, style 1", 1, torch.ones(1, 1)), ("1 map, style 100", 1, torch.full([1, 1], 100.0)),
                      ("32 maps, all 1", 32, torch.ones(1, 32)), ("32 maps, one 100", 32, one_large)):
    raw, demodulated = (ops.modulated_conv2d(inputs[:, :maps], weight[:, :maps], s, demod=d, padding=1) for d in (False, True))
    alike = torch.corrcoef(torch.stack([demodulated.flatten(), only_first.flatten()]))[0, 1]
    print(f"{name:17s} standard deviation {raw.std():6.1f} modulated, {demodulated.std():.2f} demodulated;   "
          f"correlation with the first map alone {alike:.2f}")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# With a single input map, nothing at all happens: the size of its style cancels (not its sign). With 32, the scaled map outweighs
# the others, but the standard deviation of the output stays at 1. A style no longer says how large the output is. It says which
# inputs the output is made of, which is what a style is for.
# </details>

# %% [markdown]
# ### Exercise 3 · the modulated convolution, with weights
#
# Put it together. `demod=False` leaves the division out (the layers that turn maps into RGB want that). Every image has its own
# weights, and a convolution takes one set of weights for the batch. The trick of the official code: lay the $N$ images side by
# side as *one* image with $N \cdot I$ maps and use a **grouped** convolution with `groups=N`. A loop over the images is right
# too, and slower. You may call `ops.modulate` and `ops.demodulate`, and `torch.nn.functional.conv2d`.

# %%
def modulated_conv2d(x, weight, style, demod=True, padding=0):
    return ____


ex.modulated_conv2d.check(modulated_conv2d)

# %% [markdown]
# ### Exercise 4 · the modulated convolution, with activations
#
# A convolution is linear in $x$: scaling the weights by $s_i$ is scaling the *maps* by $s_i$. And the division by $\sigma_j$ can
# be done on output map $j$. Then all images share one weight, and no groups are needed. Write it without ever building a weight
# per image, not for $\sigma_j$ either: its sum can be taken without the products $s_i w_{ijk}$. $\epsilon = 10^{-8}$ goes inside
# the root of $\sigma_j$.

# %%
def modulated_conv2d_activations(x, weight, style, demod=True, padding=0):
    return ____


ex.modulated_conv2d_activations.check(modulated_conv2d_activations)

# %% [markdown]
# Both are the same function, and your two answers agree where the checks are green. The library has both too: `impl="reference"`
# runs a generator with weights per image, and the default with scaled activations, which is faster. On the trained generator:

# %%
z = torch.randn(4, G.z_dim, generator=torch.Generator().manual_seed(1))
by_weights, by_activations = (G(z, noise="const", impl=impl) for impl in ("reference", "fused"))
print("the two forms differ by less than 0.001:", bool((by_weights - by_activations).abs().max() < 1e-3))

# %% [markdown]
# ## Bias and noise go outside
#
# StyleGAN adds noise and bias *before* it normalises, so how much they count depends on how strong the map is: the larger the
# style of the layer, the less its noise counts. StyleGAN2 adds them after the demodulation. Let one layer run with its style at
# a tenth, at its own, and at ten times its strength, and add the same noise inside and outside.

# %%
noise = 0.3 * torch.randn(1, 1, 32, 32)
for strength in (0.1, 1, 10):
    style = strength * features["style"]
    raw, demodulated = (ops.modulated_conv2d(features["x"], layer.weight, style, demod=d, padding=1)[:, [strongest]]
                        for d in (False, True))
    inside = (instance_norm(raw + noise) - instance_norm(raw)).std()
    outside = ((demodulated + noise) - demodulated).std() / demodulated.std()
    print(f"style times {strength:3}   noise moves the map by {inside:.4f} of its standard deviation inside, {outside:.4f} outside")

# %% [markdown]
# ## Measured: does the variance come out as predicted?
#
# Eq. 2 assumes independent inputs of standard deviation 1. For inputs of root mean square $r_i$ the same argument predicts
# $\sqrt{\sum_{i,k} {w''_{ijk}}^2\, r_i^2}$ for output map $j$. Real activations are not independent. Take the trained generator,
# and measure every demodulated convolution's output, before noise and bias.

# %%
def output_sizes(G, ws):
    """Root mean square of every convolution's output, and what Eq. 2 predicts for it."""
    rows = {}
    def record(name):
        def hook(layer, inputs, out):
            x, style = inputs[0], inputs[1]
            weight = ops.demodulate(ops.modulate(layer.weight, style))
            strength = x.square().mean(dim=(2, 3))                                # r_i² of every image, [N, I]
            predicted = (weight.square().sum(dim=(3, 4)) * strength[:, None]).sum(dim=2)
            y = ops.modulated_conv2d(x, layer.weight, style, up=layer.up, padding=1, kernel=layer.kernel)
            rows[name] = predicted.mean().sqrt().item(), y.square().mean().sqrt().item()
        return hook
    hooks = [layer.register_forward_hook(record(name)) for name, layer, _ in G.synthesis.style_layers() if "conv" in name]
    G.synthesis(ws, noise="const")
    for hook in hooks:
        hook.remove()
    return rows


rows = output_sizes(G, G.mapping(torch.randn(16, G.z_dim, generator=torch.Generator().manual_seed(2))))

# %%
fig, ax = plt.subplots(figsize=(7, 3))
ax.bar([i - 0.2 for i in range(len(rows))], [predicted for predicted, _ in rows.values()], 0.4, label="predicted")
ax.bar([i + 0.2 for i in range(len(rows))], [measured for _, measured in rows.values()], 0.4, label="measured")
ax.set_xticks(range(len(rows)), rows, rotation=45, ha="right")
ax.set_ylabel("root mean square of the output")
ax.legend()
plots.show(fig, alt="Root mean square of the output of each modulated convolution, as Eq. 2 predicts it and as measured; the table "
                    "below gives their ratios.")

# %%
for name, (predicted, measured) in rows.items():
    print(f"{name:10s} measured / predicted {measured / predicted:.1f}")

# %% [markdown]
# The prediction knows nothing of the image, only weights, styles and how strong each input map is, and it is right within about a
# factor of two. Every layer comes out larger than predicted, because inputs go together, as neighbouring pixels and maps do. (The
# zeros around a map pull the other way, most of all around a small one.) The paper calls demodulation *weaker* than instance
# normalisation, and that is the point: no statistic of the image is used, so none can be manipulated.
#
# ## Measured: is there a droplet at 64 pixels?
#
# A droplet would show in the feature maps as a place that stands far out. For every layer of the trained StyleGAN (lesson 03) and
# of StyleGAN2, three measures (`python experiments/styles.py stylegan-portraits-64 stylegan2-portraits-64`, and with `--only
# outliers` for a snapshot of StyleGAN2):
#
# - how many standard deviations the largest value of a map lies from the map's mean, on average;
# - in how many maps it lies 20 or more away, from 32 × 32 on, for smaller maps have too few pixels for that (AdaIN itself changes
#   neither of these two);
# - the place where *all* maps together are largest: the norm of its features over the mean norm of all places.
#
# Both have the same number of maps in every layer and learnt from the same world. StyleGAN saw 2,200,000 images, so its partner
# is StyleGAN2 as it was after as many; “StyleGAN2 at the end” is the one that you know.
#
# > **Predict.** The spike of 300 standard deviations above would read as about 30, once it has been counted into the standard
# > deviation itself. Will AdaIN's maps have such places? And will they lie on top of each other?

# %%
result = json.loads((zoo.DATA / "results" / "styles.json").read_text())
models, snapshot = result["models"], "G-0002200000"
measured_of = {"StyleGAN": models["stylegan-portraits-64"], "StyleGAN2": models[snapshot],
          "StyleGAN2 at the end": models["stylegan2-portraits-64"]}
seen = {model: zoo.cards()[f"{model.lower()}-portraits-64"]["images"] for model in ("StyleGAN", "StyleGAN2")}
print(f"images seen in training: StyleGAN {seen['StyleGAN']:,}, StyleGAN2 {int(snapshot[2:]):,}, "
      f"and {seen['StyleGAN2']:,} at its end")
print(f"{measured_of['StyleGAN']['outliers_portraits']} portraits, one seed: {result['seeds'][0]}")
fig, axes = plt.subplots(1, 2, figsize=(7, 3.2))
for ax, key, title in zip(axes, ("peak", "norm"), ("largest value of a map / its std", "largest norm / mean norm")):
    for (model, measured), color in zip(measured_of.items(), plots.COLORS):
        values = [cell[key] for cell in measured["outliers"].values()]
        ax.plot(list(measured["outliers"]), values, marker="o", ms=3, color=color, label=model)
    ax.set(title=title, ylim=(0, None))
    ax.tick_params(axis="x", rotation=90)
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
plots.show(fig, alt="Two measures over the layers. The largest value of a map rises to 12 standard deviations in StyleGAN and to 9 "
                    "in StyleGAN2. The largest norm over the mean norm rises to 17 in StyleGAN and stays below 5 in StyleGAN2.")
for name in ("b32.conv1", "b64.conv0", "b64.conv1"):
    print(f"{name}  " + ", ".join(f"{model} {100 * row['outliers'][name]['maps']:.1f} %" for model, row in measured_of.items())
          + " of the maps reach 20; largest norm / mean norm "
          + ", ".join(f"{row['outliers'][name]['norm']:.1f}" for row in measured_of.values()))

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# Map by map, hardly: few maps reach 20, and in the last layer StyleGAN2 has some too. Together, yes. In StyleGAN the place with the
# largest norm stands further out from layer to layer, and at 64 pixels far above anything in StyleGAN2, after as many images or
# more than three times as many. Many maps are large in the *same* place, as the paper says of the droplet.
# </details>
#
# Where is that place? Here is the norm of the features in the last layer of both.

# %%
def last_layer(G, z):
    """Portraits, and the norm of their features in the last layer over its mean."""
    hook = G.synthesis.b64.conv1.register_forward_hook(lambda layer, inputs, out: features.update(last=out))
    images = G(z, noise="const")
    hook.remove()
    norm = features["last"].square().sum(dim=1).sqrt()
    return images, norm / norm.mean(dim=(1, 2), keepdim=True)


z = torch.randn(8, G.z_dim, generator=torch.Generator().manual_seed(1))
rows = []
for images, norm in (last_layer(stylegan, z), last_layer(G, z)):
    rows += [images, torch.stack([plots.diverging(n - 1, limit=8) for n in norm])]
sheet = plots.image_grid(torch.cat(rows), columns=8, scale=2, labels=["StyleGAN", "norm", "StyleGAN2", "norm"])
plots.show(plots.with_caption(sheet, "norm of the features over its mean: white 1, dark red 9 and more; blue: below 1"),
           alt="Eight portraits of StyleGAN with the norm of their features in the last layer: two dark spots on the eyes, a "
               "pale one on a coloured blob beside two of the people, almost nothing else. Below, eight of StyleGAN2: their norms "
               "are pale everywhere, a little stronger on eyes, mouth and earrings.")

# %% [markdown]
# > **Predict.** The spots are on the eyes, in every portrait. Take them out of AdaIN's account: in the two layers of 64 × 64
# > pixels, compute $\mu$ and $\sigma$ without the hundredth of all places where the features are largest. What happens to the
# > *rest* of the picture? And what if you leave out a random hundredth?

# %%
def without(largest):
    """A hook that normalises a layer's maps again, a hundredth of the places left out of the mean and the standard deviation."""
    def hook(layer, inputs, y):
        mean, deviation = y.mean(dim=(2, 3), keepdim=True), y.std(dim=(2, 3), keepdim=True)
        size = ((y - mean) / deviation).square().sum(dim=1).flatten(1)
        order = size if largest else torch.rand(size.shape, generator=torch.Generator().manual_seed(0))
        keep = torch.ones_like(size).scatter(1, order.topk(size.shape[1] // 100).indices, 0).reshape(len(y), 1, *y.shape[2:])
        count = keep.sum(dim=(2, 3), keepdim=True)
        middle = (keep * y).sum(dim=(2, 3), keepdim=True) / count
        spread = ((keep * (y - middle).square()).sum(dim=(2, 3), keepdim=True) / count).sqrt()
        return (y - middle) * deviation / spread + mean
    return hook


rows = {"as it is": stylegan(z, noise="const")}
for label, largest, first in (("random, 64 px", False, 64), ("largest, 64 px", True, 64), ("largest, 32 px on", True, 32)):
    hooks = [layer.register_forward_hook(without(largest)) for name, layer, _ in stylegan.synthesis.style_layers()
             if int(name[1:].split(".")[0]) >= first]
    rows[label] = stylegan(z, noise="const")
    for hook in hooks:
        hook.remove()
plots.show(plots.image_grid(torch.cat(list(rows.values())), columns=8, scale=2, labels=list(rows)),
           alt="Eight portraits of StyleGAN as they are; the same with a random hundredth of the places left out of AdaIN's mean "
               "and standard deviation, which changes nothing you can see; without the largest hundredth at 64 pixels, where the "
               "eyes glow, and faces, hair, clothes and backgrounds become too strong in colour and contrast; "
               "and without it from 32 pixels on.")

# %% [markdown]
# <details><summary><b>Answer</b></summary>
#
# A random hundredth does nothing. Without the largest hundredth at 64 pixels colours and contrasts grow, most in the faces, but in
# shirts and backgrounds too, far from the eyes. (The eyes themselves burn out, since nothing holds them down any more.) So in this
# trained generator a few pixels do have a say in the magnitude of all others, as the paper describes.
#
# It is no simple knob, though: leave the largest hundredth out from 32 × 32 pixels on (last row), and shirts and backgrounds change
# less, and turn a little *paler* instead.
# </details>
#
# Does a droplet appear at 64 pixels, then? No: neither network draws the paper's droplet, a blob where none belongs, in almost
# every image. StyleGAN has half of one. A few places are large in many maps at once, more so from layer to layer, and the picture
# depends on them. But they sit on the eyes, where a portrait has strong contrasts anyway, and you cannot tell from this whether
# they are large *in order to* set the magnitude of the rest. (Two of the eight do have a coloured blob beside them. Its features
# are large too, but much less than those of the eyes, and most portraits have none.)
#
# Our two networks also differ in more than the normalisation. The paper's config B replaces the normalisation and moves bias and
# noise behind it, at 1024 pixels, in wider networks and with many times as many images. It finds real blobs, and they go. FID does
# not notice: 4.40 with them, 4.39 without (configs A and B on FFHQ, Table 1).
#
# ## Measured: who paints the picture?
#
# StyleGAN2 does not grow. Its generator sums the RGB of all resolutions, so the network itself decides when to use the high ones.
# The figure shows each resolution's share of the image (the standard deviation of its RGB, enlarged to full size, divided by the
# sum of all) while the shipped generator trained.

# %%
training = json.loads((zoo.DATA / "results" / "stylegan2-portraits-64-training.json").read_text())
kimg = [row["images"] / 1000 for row in training["rgb_shares"]]
fig, ax = plt.subplots(figsize=(7, 3.2))
for resolution in training["rgb_shares"][0]["shares"]:
    ax.plot(kimg, [row["shares"][resolution] for row in training["rgb_shares"]], marker="o", ms=3, label=f"{resolution} px")
ax.set_xlabel("thousand images")
ax.set_ylabel("share of the image")
ax.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, 1.2), frameon=False)
plots.show(fig, alt="Share of each resolution in the summed RGB against images seen in training, one line per resolution.")

# %%
shares = [row["shares"] for row in training["rgb_shares"]]
print(f"        after {kimg[0]:,.0f} thousand images   at its highest   after {kimg[-1]:,.0f} thousand")
for resolution in shares[0]:
    start, highest, end = (100 * x[resolution] for x in (shares[0], max(shares, key=lambda row: row[resolution]), shares[-1]))
    print(f"{resolution:>3s} px   {start:20.0f} %   {highest:13.0f} %   {end:12.0f} %")

# %% [markdown]
# In the paper (§4.2, Fig. 8) the share moves from the low resolutions to the high ones as training goes on. It does here: 32 and
# 64 px gain, and 4 to 16 px lose. In the paper 1024 px stayed weaker than its number of pixels asks for, so the authors doubled
# the feature maps of the high resolutions (config F, "large networks").
#
# ## Summary
#
# - Instance normalisation lets one pixel set the magnitude of a whole map; a generator that needs to control magnitudes *can* use
#   that pixel, and the paper explains the droplet so. In our StyleGAN the eyes take a part of this role.
# - Modulation puts the style into the weights; demodulation divides them by the standard deviation that they would cause. Neither
#   looks at the data.
# - Scaling weights (one grouped convolution) and scaling activations (one ordinary convolution) are the same function.
# - Noise (and bias) act after the normalisation, so their strength does not depend on the style.
#
# **Read next**: §2 and App. B of the [StyleGAN2 paper](https://arxiv.org/abs/1912.04958); `course_lib/networks/stylegan2.py`,
# which runs the functions you wrote. Lesson 06 asks what makes the *path* through this generator smooth.
