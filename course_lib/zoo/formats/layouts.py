"""Where a tensor of a StyleGAN2 network stands in other layouts: (our name, their name, how it is stored there).

Our names are those of the official PyTorch networks. Both directions go through the same pairs.
"""
import re

from ...networks.layers import count
from ...ops import resample_kernel
from .pickle_reader import FormatError

# How a tensor is stored elsewhere: name → (theirs to ours, ours to theirs).
FORMS = {
    "same": (lambda t: t, lambda t: t),
    "dense": (lambda t: t.t(), lambda t: t.t()),                                         # [in, out]
    "conv": (lambda t: t.permute(3, 2, 0, 1), lambda t: t.permute(2, 3, 1, 0)),          # [k, k, in, out]
    "mirrored": (lambda t: t.flip([0, 1]).permute(3, 2, 0, 1), lambda t: t.flip([2, 3]).permute(2, 3, 1, 0)),
    "minus one": (lambda t: t + 1, lambda t: t - 1),
    "[1, …]": (lambda t: _squeeze(t, 1), lambda t: t[None]),
    "[1, 1, …]": (lambda t: _squeeze(t, 2), lambda t: t[None, None]),
    "[1]": (lambda t: t.reshape([]), lambda t: t.reshape(1)),
    "[1, C, 1, 1]": (lambda t: t.reshape(-1), lambda t: t.reshape(1, -1, 1, 1)),
}


def _squeeze(t, n):
    if any(size != 1 for size in t.shape[:n]):
        raise FormatError(f"a tensor has shape {list(t.shape)}; its first {n} sizes should be 1")
    return t.reshape(t.shape[n:])


ANEW = "noise_const", "w_avg"       # what a file may lack (`missing`)


def read(theirs, pairs):
    """Our tensors from theirs. Every one of theirs must be used, and only those in ANEW may be missing."""
    missing = sorted(name for ours, name, _ in pairs if name not in theirs and not ours.endswith(ANEW))
    extra = sorted(theirs.keys() - {name for _, name, _ in pairs})
    if missing or extra:
        raise FormatError(f"its tensors are not those of a StyleGAN2 network: missing {missing[:3]}, unknown {_cut(extra)}")
    try:
        return {ours: FORMS[form][0](theirs[name].float()).contiguous() for ours, name, form in pairs if name in theirs}
    except RuntimeError as error:
        raise FormatError(f"a tensor in it has a wrong shape ({str(error)[:80]})") from None


def write(ours, pairs):
    """Their tensors from ours, float32."""
    return {name: FORMS[form][1](ours[own].float()).contiguous() for own, name, form in pairs}


def _cut(names):
    return [name[:80] for name in names[:3]]


def resolutions(names, pattern):
    """The powers of two, from 4 up, that a pattern finds in names."""
    found = sorted({int(match[1]) for name in names if (match := re.match(pattern, name)) and len(match[1]) < 5})
    if not found or found != [2 ** i for i in range(2, len(found) + 2)]:
        raise FormatError(f"it has layers at {found[:12]} px; a StyleGAN2 network has them at 4, 8, 16, … px")
    return found


def mapping_layers(n):
    """n, unless no mapping network has so many layers."""
    if n > 64:
        raise FormatError(f"it has {n:,} mapping layers; networks of StyleGAN have 8, and at most 64 are read")
    return n


def check(tensors, config, needed):
    """Refuse what no builder of a GAN can read sizes off: tensors of too few dimensions, too many layers, odd resolutions."""
    if needed not in tensors:
        raise FormatError(f"its tensor '{needed}' is missing")
    for name, value in config.items():
        if not isinstance(value, (int, float, type(None))):
            raise FormatError(f"its {name[:80]} is {ascii(value)[:80]}; it should be a number")
    mapping_layers(count(tensors, r"mapping\.fc\d+\.weight"))
    sizes = {match[1] for name in tensors if (match := re.match(r"(?:synthesis\.)?b(\d+)\.", name))}
    if odd := sorted(sizes - {str(2 ** i) for i in range(2, 11)}):
        raise FormatError(f"it has layers at {odd[0][:20]} px; networks have them at 4, 8, 16, … 1024 px")
    for name, t in tensors.items():
        least = {"weight": 2, "bias": 1, "w_avg": 1}.get(name.rpartition(".")[2], 0)
        if t.ndim < least:
            raise FormatError(f"{name[:80]} has shape {list(t.shape)}; it needs {least} or more dimensions")


def tensorflow_generator(sizes, layers, labels):
    """Official TensorFlow variables: up-convolutions mirrored, style biases less one."""
    pairs = [("mapping.w_avg", "dlatent_avg", "same"), ("synthesis.b4.const", "synthesis/4x4/Const/const", "[1, …]")]
    for i in range(layers):
        pairs += _dense(f"mapping.fc{i}", f"mapping/Dense{i}")
    if labels:
        pairs += _dense("mapping.embed", "mapping/LabelEmbed")
    for i, r in enumerate(sizes):
        names = [("conv1", "Conv1" if i else "Conv"), ("torgb", "ToRGB")] + [("conv0", "Conv0_up")] * (i > 0)
        for ours, theirs in names:
            ours, theirs, form = f"synthesis.b{r}.{ours}", f"synthesis/{r}x{r}/{theirs}", "mirrored" if ours == "conv0" else "conv"
            pairs += [(f"{ours}.weight", f"{theirs}/weight", form), (f"{ours}.bias", f"{theirs}/bias", "same"),
                      (f"{ours}.affine.weight", f"{theirs}/mod_weight", "dense"),
                      (f"{ours}.affine.bias", f"{theirs}/mod_bias", "minus one")]
            if not ours.endswith("torgb"):
                index = 2 * i - 1 if ours.endswith("conv0") else 2 * i
                pairs += [(f"{ours}.noise_strength", f"{theirs}/noise_strength", "same"),
                          (f"{ours}.noise_const", f"synthesis/noise{index}", "[1, 1, …]")]
    return pairs


def tensorflow_discriminator(sizes, layers, labels):
    top = sizes[-1]
    pairs = _conv(f"b{top}.fromrgb", f"{top}x{top}/FromRGB") + _conv("b4.conv", "4x4/Conv")
    pairs += _dense("b4.fc", "4x4/Dense0") + _dense("b4.out", "Output")
    for i in range(layers):
        pairs += _dense(f"mapping.fc{i}", f"Mapping{i}")
    if labels:
        pairs += _dense("mapping.embed", "LabelEmbed")
    for r in sizes[1:]:
        pairs += _conv(f"b{r}.conv0", f"{r}x{r}/Conv0") + _conv(f"b{r}.conv1", f"{r}x{r}/Conv1_down")
        pairs += [(f"b{r}.skip.weight", f"{r}x{r}/Skip/weight", "conv")]
    return pairs


def _dense(ours, theirs):
    return [(f"{ours}.weight", f"{theirs}/weight", "dense"), (f"{ours}.bias", f"{theirs}/bias", "same")]


def _conv(ours, theirs):
    return [(f"{ours}.weight", f"{theirs}/weight", "conv"), (f"{ours}.bias", f"{theirs}/bias", "same")]


def rosinality_generator(sizes, layers):
    """rosinality/stylegan2-pytorch: nothing is mirrored. The kernels stand apart, in `rosinality_kernels`."""
    pairs = [("synthesis.b4.const", "input.input", "[1, …]")]
    for i in range(layers):
        pairs += [(f"mapping.fc{i}.{field}", f"style.{i + 1}.{field}", "same") for field in ("weight", "bias")]
    for i, r in enumerate(sizes):
        convs = [("conv1", "conv1")] if i == 0 else [("conv0", f"convs.{2 * i - 2}"), ("conv1", f"convs.{2 * i - 1}")]
        for ours, theirs in convs:
            ours, index = f"synthesis.b{r}.{ours}", 2 * i - (ours == "conv0")
            pairs += [(f"{ours}.bias", f"{theirs}.activate.bias", "same"),
                      (f"{ours}.noise_strength", f"{theirs}.noise.weight", "[1]"),
                      (f"{ours}.noise_const", f"noises.noise_{index}", "[1, 1, …]"), *_modulated(ours, theirs)]
        ours, theirs = f"synthesis.b{r}.torgb", f"to_rgbs.{i - 1}" if i else "to_rgb1"
        pairs += [(f"{ours}.bias", f"{theirs}.bias", "[1, C, 1, 1]"), *_modulated(ours, theirs)]
    return pairs


def _modulated(ours, theirs):
    return [(f"{ours}.weight", f"{theirs}.conv.weight", "[1, …]")] + [
        (f"{ours}.affine.{field}", f"{theirs}.conv.modulation.{field}", "same") for field in ("weight", "bias")]


def rosinality_discriminator(sizes):
    layers = [(f"b{sizes[-1]}.fromrgb", "convs.0.0", "convs.0.1"), ("b4.conv", "final_conv.0", "final_conv.1"),
              ("b4.fc", "final_linear.0", "final_linear.0"), ("b4.out", "final_linear.1", "final_linear.1")]
    for j, r in enumerate(reversed(sizes[1:]), 1):
        layers += [(f"b{r}.conv0", f"convs.{j}.conv1.0", f"convs.{j}.conv1.1"),
                   (f"b{r}.conv1", f"convs.{j}.conv2.1", f"convs.{j}.conv2.2"), (f"b{r}.skip", f"convs.{j}.skip.1", None)]
    pairs = [(f"{ours}.weight", f"{theirs}.weight", "same") for ours, theirs, _ in layers]
    return pairs + [(f"{ours}.bias", f"{bias}.bias", "same") for ours, _, bias in layers if bias]


def rosinality_kernels(sizes):
    """{name: FIR kernel} of the buffers in a generator and in a discriminator; upsampling kernels sum to four."""
    kernel = resample_kernel()
    steps = range(len(sizes) - 1)
    return ({name: kernel * 4 for i in steps for name in (f"convs.{2 * i}.conv.blur.kernel", f"to_rgbs.{i}.upsample.kernel")},
            {name: kernel for i in steps for name in (f"convs.{i + 1}.conv2.0.kernel", f"convs.{i + 1}.skip.0.kernel")})
