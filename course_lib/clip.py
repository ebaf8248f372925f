"""CLIP (Radford et al. 2021, arXiv:2103.00020): images and texts as unit vectors of one space.

`load("clip-portraits")` is the course's own small model, `load("ViT-B-32/openai")` any model of open_clip; both are used
alike. The small one is an open_clip `CLIP` too, with one token per word of the portraits' captions. open_clip, which takes
seconds to import, is imported when a model is made.
"""
import difflib
import functools
import re
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from . import commands, download, portraits, zoo
from .images import check
from .networks.layers import load_strictly
from .portraits import captions2

POCKET = dict(image_size=64, width=24, layers=(1, 1, 1, 1), text_width=128, text_layers=3, embed_dim=192, context=48)
HEAD_WIDTH = 64                 # of all attention, as in OpenAI's models
TEMPLATES = ("{}", "a portrait of {}", "a drawing of {}", "an illustration of {}", "a picture of {}", "a painting of {}",
             "the face of {}", "a close-up of {}", "a small portrait of {}", "a head-and-shoulder portrait of {}",
             "an illustration of the face of {}", "a picture of the head of {}")


class Clip(nn.Module):
    """A CLIP model with its tokenizer and preprocessing. tokenize: list of str → token numbers [N, context]."""

    def __init__(self, model, tokenize, name, image_size, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bicubic"):
        super().__init__()
        self.model, self.tokenize, self.name = model, tokenize, name
        self.image_size, self.interpolation = image_size, interpolation
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def resized(self, images, enlarge=True):
        """Square images of any resolution → the model's, antialiased; without `enlarge`, smaller ones stay as they are. What is
        outside [-1, 1] is clipped, as a screen does."""
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise ValueError(f"images have shape {list(images.shape)}; pass square ones, [N, 3, H, H] in [-1, 1]")
        images = (images if self.training else check(images)).to(self.mean).clamp(-1, 1)
        if images.shape[-1] == self.image_size or not enlarge and images.shape[-1] < self.image_size:
            return images
        return F.interpolate(images, [self.image_size] * 2, mode=self.interpolation, antialias=True).clamp(-1, 1)

    def encode_images(self, images):
        """Images [N, 3, H, H] in [-1, 1] → unit vectors [N, D], differentiable."""
        x = (self.resized(images) + 1) / 2
        return F.normalize(self.model.encode_image((x - self.mean) / self.std), dim=-1)

    def encode_texts(self, texts):
        """A list of str → unit vectors [N, D]. Raises ValueError for an empty text, a word that is not known, and more words than
        the model takes: open_clip's tokenizers would cut them off in silence."""
        texts = list(texts) if hasattr(texts, "__iter__") and not isinstance(texts, str) else [texts]
        strange = [text for text in texts if not isinstance(text, str)]
        if strange:
            raise ValueError(f"texts must be sentences, and one is of type {type(strange[0]).__name__}")
        empty = [i for i, text in enumerate(texts) if not text.strip()]
        if empty or not texts:
            which = "the sentence" if len(texts) == 1 else f"sentence {empty[0] + 1}" if empty else ""
            raise ValueError(f"{which} is empty; say what should be seen" if texts else "there are no texts to encode")
        if hasattr(self.tokenize, "context_length"):
            _refuse_cut(self.tokenize, texts)
        return F.normalize(self.model.encode_text(self.tokenize(texts).to(self.mean.device)), dim=-1)


def _refuse_cut(tokenize, texts):
    """Raise ValueError for a text of which a tokenizer of open_clip leaves nothing, or drops the end, for want of room."""
    longest = max(len(text.encode()) for text in texts)
    rooms = tokenize.context_length, tokenize.context_length + longest
    (blank, *found), (_, *whole) = (_without_padding(tokenize(["", *texts], room)) for room in rooms)
    for text, mine, all_of_it in zip(texts, found, whole):
        if mine == blank:
            raise ValueError(f"{text!r} holds no words; say what should be seen")
        if mine != all_of_it:
            raise ValueError(f"this model reads {tokenize.context_length} tokens (words and parts of words) with their marks, and "
                             f'"{text[:40]}…" has more; shorten it')


def _without_padding(tokens):
    """Token numbers [N, length] as lists, each up to where it ends like the first, which is that of a blank text."""
    ends = [int((row != tokens[0]).nonzero().max()) + 1 if (row != tokens[0]).any() else 0 for row in tokens]
    return [row[:end].tolist() for row, end in zip(tokens, ends)]


def load(name_or_path="clip-portraits", device="cpu"):
    """A Clip by zoo name, by file or folder with a card, or "architecture/pretrained" of open_clip, whose weights are
    downloaded once to `download.cache()`."""
    name, device = str(name_or_path), commands.checked_device(device)
    if name in zoo.cards() or Path(name).is_file() or zoo.is_shared(name):
        network = zoo.load(name, device=device)
        if not isinstance(network, Clip):
            raise ValueError(f"{zoo.held(network)}, not a CLIP model")
        network.name = Path(name).stem
        return network
    architecture, _, pretrained = name.rpartition("/")
    if not architecture or name.endswith(".safetensors"):
        train = "train one with python -m course_lib.train clip, or load a model of open_clip such as \"ViT-B-32/openai\""
        raise FileNotFoundError(f'"{name}" is neither a file nor a CLIP model of the course; {zoo.no_models() or train}')
    return open_clip_model(architecture, pretrained).to(device)


def open_clip_model(architecture, pretrained=None):
    """Any model of open_clip, with its own image size, mean, deviation, resampling and tokenizer.

    pretrained: a tag of open_clip, or None for random weights. "openai" is OpenAI's own TorchScript file, compared with the
    sha256 in its address before it is read; only its tensors are used. The other tags are fetched by open_clip, to the same
    folder. Raises ValueError for an unknown name or wrong bytes and OSError when the weights cannot be had.
    """
    import open_clip
    if architecture not in open_clip.list_models():
        near = difflib.get_close_matches(architecture, open_clip.list_models(), 3) or ["ViT-B-32"]
        raise ValueError(f'open_clip has no architecture "{architecture}"; near ones are {", ".join(near)}')
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if pretrained is not None and pretrained not in tags:
        near = difflib.get_close_matches(pretrained, tags, 3) or tags[:6]
        raise ValueError(f'{architecture} has no weights "{pretrained}"; open_clip knows {", ".join(near)} and others')
    source = open_clip.get_pretrained_cfg(architecture, pretrained) if pretrained else {}
    url = source.get("url", "")
    if sha256 := re.search(r"/([0-9a-f]{64})/[^/]+$", url):
        terms = ("OpenAI's CLIP, MIT License; https://github.com/openai/CLIP/blob/main/model-card.md says which uses are out of "
                 "scope")
        file = download.fetch(url, sha256=sha256[1], terms=terms)
        model = open_clip.load_openai_model(str(file), "fp32", "cpu")           # with QuickGELU, as it was trained
    else:
        model = _created(architecture, pretrained, source)
    own = open_clip.get_model_preprocess_cfg(model)
    size = own["size"] if isinstance(own["size"], int) else own["size"][0]
    interpolation = "bilinear" if own.get("interpolation") == "bilinear" else "bicubic"
    network = Clip(model, open_clip.get_tokenizer(architecture), f"{architecture}/{pretrained}", size, own["mean"], own["std"],
                   interpolation)
    return network.eval().requires_grad_(False)


def _created(architecture, pretrained, source):
    """A model of open_clip with random weights or those of a tag, which open_clip fetches itself."""
    import open_clip
    hub = source.get("hf_hub")
    place = f"huggingface.co/{hub.rstrip('/')}" if hub else source.get("url")
    if pretrained:
        print(f"{architecture}/{pretrained}: weights from {place}, under the licence that is given there", file=sys.stderr)
    try:
        # The weights of some tags were trained with another activation than their architecture names.
        return open_clip.create_model(architecture, pretrained, force_quick_gelu=bool(source.get("quick_gelu")),
                                      cache_dir=str(download.cache()))
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise OSError(f'open_clip could not fetch "{architecture}/{pretrained}" from {place} ({reason}); run this once with a '
                      f"connection, and it stays in {download.cache()}, or copy that folder from another machine") from None


def pocket(words, image_size, width, layers, text_width, text_layers, embed_dim, context):
    """The course's own model, untrained: an open_clip CLIP with a small ResNet (§2.4), and a tokenizer of these words."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
    vision = CLIPVisionCfg(image_size=image_size, width=width, layers=layers, head_width=HEAD_WIDTH)
    text = CLIPTextCfg(context_length=context, vocab_size=len(words) + 2, width=text_width, layers=text_layers,
                       heads=max(1, text_width // HEAD_WIDTH))
    model = CLIP(embed_dim, vision, text)
    return Clip(model, functools.partial(tokenize, words=words, context=context), "clip-portraits", image_size)


def from_tensors(tensors, words):
    """The course's own model from the tensors of its file; every size is read off them. words: its vocabulary, in order."""
    count = lambda pattern: sum(re.fullmatch(pattern, key) is not None for key in tensors)
    layers = [count(rf"visual\.layer{i}\.\d+\.conv1\.weight") for i in (1, 2, 3, 4)]
    places = len(tensors["visual.attnpool.positional_embedding"]) - 1
    context, text_width = tensors["positional_embedding"].shape
    network = pocket(words, 32 * round(places ** 0.5), len(tensors["visual.conv3.weight"]), layers, text_width,
                     count(r"transformer\.resblocks\.\d+\.ln_1\.weight"), tensors["text_projection"].shape[1], context)
    load_strictly(network.model, tensors)
    return network


def words_of(text):
    """The lower-case words of a text, hyphens kept, punctuation dropped."""
    return re.findall(r"[^\s,.;:!?\"()]+", text.lower())


def tokenize(texts, words, context):
    """One token per word: 0 fills up, 1 … are the words, and the highest number ends a text. → [N, context]."""
    number = {word: i for i, word in enumerate(words, 1)}
    tokens = torch.zeros(len(texts), context, dtype=torch.long)
    unknown = list(dict.fromkeys(word for text in texts for word in words_of(text) if word not in number))
    if unknown:
        near = portraits.neighbours(unknown, words)
        named = ", ".join(f'"{word}"' + (f" (near: {', '.join(found)})" if found else "") for word, found in near.items())
        others = "" if all(near.values()) else f": {' '.join(sorted(words))}"
        raise ValueError(f"{named} {'is' if len(unknown) == 1 else 'are'} not among the {len(words)} words that this small model "
                         f'has seen{others}. A model of open_clip, such as --clip ViT-B-32/openai, takes any word')
    for row, text in zip(tokens, texts):
        found = words_of(text)
        if not found:
            raise ValueError(f"{text!r} holds no words; say what should be seen")
        if len(found) >= context:
            raise ValueError(f'a text has {len(found)} words; this model reads up to {context - 1}: "{text[:40]}…"')
        row[:len(found) + 1] = torch.tensor([number[word] for word in found] + [len(words) + 1])
    return tokens


def vocabulary(samples=4000, version=portraits.VERSION):
    """Every word that captions and TEMPLATES use, sorted, and "person": of version 2 of the data set all that there are, of version
    1 those of many captions, drawn from fixed seeds."""
    captions = (captions2.words() if version == "2" else
                portraits.caption(portraits.sample_attributes(samples, 0, correlated=False, version=version), 0, version))
    return sorted({word for text in [*captions, *TEMPLATES, "person"] for word in words_of(text.replace("{}", ""))})


def random_views(images, count=None, rng=None, **strengths):
    """Images as slightly different photographs of themselves: cropped, turned, warped, with noise. A gradient averaged over
    such views has less room for patterns that only a network sees.

    images [N, 3, H, H] → one view of its own for each, [N, 3, H, H]; with `count` the same views for all of them, one after
    another, [count · N, 3, H, H]. rng: a CPU generator; without it the device's own. strengths: those of `draw_views`.
    """
    device = images.device if rng is None else "cpu"
    views = draw_views(len(images) if count is None else count, images.shape[-1], rng, device, **strengths)
    return viewed(images, *views, shared=count is not None)


def draw_views(count, size, rng=None, device="cpu", crop=0.15, turn=0.1, warp=0.03, noise=0.08):
    """Random views of images of `size` px: where their pixels lie, [count, size, size, 2], and their noise, [count, 3, size, size].

    crop: up to this share wider or narrower and as much to the side; turn in radians; warp as a share of the width; noise: the
    largest standard deviation.
    """
    draw = lambda *shape: torch.rand(count, *shape, generator=rng, device=device) * 2 - 1
    angle, zoom, shift = turn * draw(), 1 + crop * draw(), crop * draw(2)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    theta = torch.stack([torch.stack([cos, -sin, shift[:, 0]], dim=1), torch.stack([sin, cos, shift[:, 1]], dim=1)], dim=1)
    bend = F.interpolate(2 * warp * draw(2, 4, 4), [size, size], mode="bicubic", align_corners=True)
    grid = F.affine_grid(theta, [count, 3, size, size], align_corners=False) + bend.permute(0, 2, 3, 1)
    return grid, noise * draw(1, 1, 1).abs() * torch.randn(count, 3, size, size, generator=rng, device=device)


def viewed(images, grid, noise, shared=True):
    """Images [N, 3, H, H] in views of `draw_views`: all of them in each, one view after another, or each in its own."""
    if shared:
        count, n = len(grid), len(images)
        grid, noise, images = grid.repeat_interleave(n, dim=0), noise.repeat_interleave(n, dim=0), images.repeat(count, 1, 1, 1)
    seen = F.grid_sample(images, grid.to(images), mode="bilinear", padding_mode="border", align_corners=False)
    return seen + noise.to(images)
