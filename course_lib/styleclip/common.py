"""What the three methods share: their result, their checks, and the fingerprints by which files know their networks."""
import hashlib
import weakref
from typing import NamedTuple

import torch

from .. import zoo
from ..clip import viewed
from ..sampling import device_of
from ..weights import state_of, unchanged

_fingerprints = weakref.WeakKeyDictionary()     # network: (the state of its weights, its fingerprint)


class Edit(NamedTuple):
    """Edited images of N portraits, and how they came about."""
    latents: object             # ws [N, num_ws, w_dim], or styles, a list of [N, channels]
    images: torch.Tensor        # [N, 3, H, W] on the CPU, of a grey generator three equal channels
    frames: list                # images on the way, on the CPU
    losses: dict                # name → [steps + 1, N] on the CPU; the last row is that of the result


def embed_views(clip, images, views, itself):
    """CLIP's embeddings of images in the views of `clip.draw_views`, [views, N, D], and with `itself` of the images as they are,
    [N, D], in one pass. Without views the images are their only view."""
    if not views:
        found = clip.encode_images(images)
        return found[None], found
    images = clip.resized(images, enlarge=False)
    shown = viewed(images, *views)
    found = clip.encode_images(torch.cat([shown, images]) if itself else shown).unflatten(0, (-1, len(images)))
    return (found[:-1], found[-1]) if itself else (found, None)


def size_of_views(G, clip):
    """The width of the images that `embed_views` takes views of."""
    return clip.resized(torch.zeros(1, 3, G.resolution, G.resolution, device=device_of(G)), enlarge=False).shape[-1]


def check_networks(G, clip=None, identity=None):
    """Raise ValueError unless G has a W, clip encodes images and texts, both it and the identity network stand on G's device, and
    the identity network is not the verifier."""
    if not hasattr(G, "mapping") or not hasattr(G, "synthesis"):
        what = "this generator has no mapping network" if hasattr(G, "z_dim") else f"{zoo.held(G)}, which is no generator"
        raise ValueError(f"{what}, so there is no W to edit in")
    if clip is not None and not (hasattr(clip, "encode_images") and hasattr(clip, "encode_texts")):
        raise ValueError(f'{zoo.held(clip)}, which is no CLIP model; pass one of clip.load, such as clip.load("clip-portraits")')
    refuse_verifier(identity)
    for network, name in ((clip, "CLIP"), (identity, "identity")):
        same_device(G, network, name)


def refuse_verifier(identity):
    """Raise ValueError for the identity network of the kind "verifier"."""
    if getattr(identity, "kind", None) == "verifier":
        raise ValueError("the verifier is held out: it measures edits, and none is optimised or chosen by it; take "
                         "identity-portraits-64 instead")


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
    check_finite(ws, "latents")
    ws = ws[:, None].expand(-1, G.num_ws, -1) if ws.ndim == 2 else ws
    return ws.detach().to(device_of(G))


def check_finite(tensor, name):
    """Raise ValueError for a tensor [N, …] with NaN or infinity."""
    wrong = (~tensor.flatten(1).isfinite().all(dim=1)).nonzero()[:, 0].tolist()
    if wrong:
        raise ValueError(f"{name} hold NaN or infinity in rows {wrong}")


def finite_losses(names, values, step):
    """The losses of a step, [names, …], as name → […] on the CPU. Raises ValueError for one that is NaN or infinite."""
    losses = dict(zip(names, values.cpu(), strict=True))
    for name, value in losses.items():
        if not value.isfinite().all():
            raise ValueError(f"the {name} loss is NaN or infinite in step {step}; a lower learning rate may help")
    return losses


def stacked(history):
    """The losses of several steps, a list of name → […], as name → [steps, …]."""
    return {name: torch.stack([losses[name] for losses in history]) for name in history[0]}


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


def checked_target(target, n, device):
    """A similarity, one or [n], as a tensor [1] or [n]; None stays None."""
    if target is None:
        return None
    target = torch.as_tensor(target, dtype=torch.float32, device=device).detach()
    if not target.isfinite().all() or target.shape not in ((), (1,), (n,)):
        raise ValueError(f"the target must be one similarity, or one for each of the {n} images; it is {target.tolist()}")
    return target.reshape(-1)


def same_device(G, network, name):
    """Raise unless a network stands on the generator's device."""
    for tensor in getattr(network, "parameters", lambda: ())():
        if tensor.device != device_of(G):
            raise ValueError(f"the {name} network is on {tensor.device} and the generator on {device_of(G)}; move one of them")
        return


def fingerprint(network):
    """A hash of a network's weights, 16 hexadecimal digits, so that a file made for it is not used with another. It is computed
    again only when a weight has changed (`weights.unchanged`): on a GPU it would be most of a mapper's edit."""
    tensors = network.state_dict()
    state, found = _fingerprints.get(network, (None, None))
    if not unchanged(state, *tensors.values()):
        found = _digest(sorted(tensors.items()))
        _fingerprints[network] = state_of(*tensors.values()), found
    return found


def _digest(tensors):
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
