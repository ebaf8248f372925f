"""What the three methods share: their result, their checks, and the marks by which files know their networks."""
import hashlib
import weakref
from typing import NamedTuple

import torch

from .losses import clip_distance
from ..clip import random_views
from ..sampling import device_of

_marks = weakref.WeakKeyDictionary()    # network: the state in which it was marked, and its mark


class Edit(NamedTuple):
    """Edited images of N portraits, and how they came about."""
    latents: object             # ws [N, num_ws, w_dim], or styles, a list of [N, channels]
    images: torch.Tensor        # [N, 3, H, W] on the CPU, of a grey generator three equal channels
    frames: list                # images on the way, on the CPU
    losses: dict                # name → [steps, N] on the CPU


def seen_distance(clip, images, text_features, views, rng):
    """D_CLIP of images, averaged over `views` random views of each, the same for all of them; 1 takes the images as they
    are. → [N]"""
    if views == 1:
        return clip_distance(clip.encode_images(images), text_features)
    seen = clip.encode_images(random_views(clip.resized(images, enlarge=False), views, rng)).unflatten(0, (views, len(images)))
    return clip_distance(seen, text_features).mean(dim=0)


def check_networks(G, clip=None, identity=None):
    """Raise ValueError unless G has a W, clip encodes images and texts, and it and the identity network stand on G's device."""
    if not hasattr(G, "mapping") or not hasattr(G, "synthesis"):
        what = "this generator has no mapping network" if hasattr(G, "z_dim") else f"a {type(G).__name__} is no generator"
        raise ValueError(f"{what}, so there is no W to edit in")
    if clip is not None and not (hasattr(clip, "encode_images") and hasattr(clip, "encode_texts")):
        raise ValueError(f'a {type(clip).__name__} is no CLIP model; pass one of clip.load, such as clip.load("clip-portraits")')
    for network, name in ((clip, "CLIP"), (identity, "identity")):
        same_device(G, network, name)


def embedded(identity, images):
    """Images [N, 3, H, W] as an identity network sees them, unit vectors [N, D]. Raises ValueError for a network that does not take
    them, or gives something else."""
    try:
        found = identity(images)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ValueError(f"the identity network does not take images of shape {list(images.shape)} "
                         f"({(str(error).splitlines() or [type(error).__name__])[0][:200]}); one that needs another size can be "
                         "loaded with face_recognition.from_torchscript, which resizes them") from None
    if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != len(images):
        what = list(found.shape) if isinstance(found, torch.Tensor) else f"a {type(found).__name__}"
        raise ValueError(f"the identity network gives {what} for {len(images)} images; it must give vectors [N, D], as "
                         'zoo.load("identity-portraits-64") does')
    return found


def checked_ws(G, ws):
    """ws [N, num_ws, w_dim], or w [N, w_dim], of this generator → [N, num_ws, w_dim] on its device."""
    check_networks(G)
    ws = torch.as_tensor(ws)
    if ws.shape[1:] not in ((G.w_dim,), (G.num_ws, G.w_dim)) or not len(ws):
        raise ValueError(f"latents have shape {list(ws.shape)}; this generator takes [N, {G.num_ws}, {G.w_dim}] or [N, {G.w_dim}]")
    finite(ws, "latents")
    ws = ws[:, None].expand(-1, G.num_ws, -1) if ws.ndim == 2 else ws
    return ws.detach().to(device_of(G))


def finite(tensor, name):
    wrong = (~tensor.flatten(1).isfinite().all(dim=1)).nonzero()[:, 0].tolist()
    if wrong:
        raise ValueError(f"{name} hold NaN or infinity in rows {wrong}")


def finite_losses(losses, step):
    for name, value in losses.items():
        if not value.isfinite().all():
            raise ValueError(f"the {name} loss is NaN or infinite in step {step}; a lower learning rate may help")


def encoded_prompts(clip, prompt, n):
    """The text features [1, D] of one prompt, or [N, D] of a list with one for each image."""
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    if len(prompts) not in (1, n):
        raise ValueError(f"there are {len(prompts)} prompts for {n} images; pass one, or one for each")
    with torch.no_grad():
        return clip.encode_texts(prompts)


def of_convolutions(G):
    """For each style layer whether it is a convolution's, not toRGB's: a search, and a direction, move these alone."""
    return [not name.endswith("torgb") for name, _, _ in G.synthesis.style_layers()]


def checked_goal(goal, n, device):
    """A similarity, one or [n], as a tensor [1] or [n]; None stays None."""
    if goal is None:
        return None
    goal = torch.as_tensor(goal, dtype=torch.float32, device=device).detach()
    if not goal.isfinite().all() or goal.shape not in ((), (1,), (n,)):
        raise ValueError(f"the goal must be one similarity, or one for each of the {n} images; it is {goal.tolist()}")
    return goal.reshape(-1)


def same_device(G, network, name):
    """Raise unless a network stands on the generator's device."""
    for tensor in getattr(network, "parameters", lambda: ())():
        if tensor.device != device_of(G):
            raise ValueError(f"the {name} network is on {tensor.device} and the generator on {device_of(G)}; move one of them")
        return



def fingerprint(network):
    """A mark of a network's weights, so that a file made for it is not used with another: 16 hexadecimal digits. Kept until PyTorch
    counts a write to a weight (not one through `.data`): on a GPU it would be most of a mapper's edit."""
    tensors = sorted(network.state_dict().items())
    if any(tensor.is_inference() for _, tensor in tensors):
        return _digest(tensors)
    written = [(tensor.data_ptr(), tensor._version) for _, tensor in tensors]
    if _marks.get(network, (None,))[0] != written:
        _marks[network] = written, _digest(tensors)
    return _marks[network][1]


def _digest(tensors):
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
