"""The terms of StyleCLIP's losses, and that of latent optimization. Each returns one value per image."""
import torch.nn.functional as F


def clip_distance(image_features, text_features):
    """StyleCLIP Eq. 1, D_CLIP: 1 − cosine of CLIP's embeddings. [N, D] and [N, D] or [1, D] → [N], from 0 to 2."""
    return 1 - (F.normalize(image_features, dim=-1) * F.normalize(text_features, dim=-1)).sum(dim=-1)


def hinge(term, target=None):
    """max(0, d − (1 − target)) of a distance d = 1 − cosine: 0 where the cosine has reached the target, one for all or [N]. None
    leaves the distance as it is, as in the paper. [N] → [N]"""
    return term if target is None else (term - (1 - target)).clamp(min=0)


def preservation_loss(features, source_features, text_features):
    """How far CLIP's embeddings of images move other than along the sentence: ‖P(c − c_s)‖², where P projects on what is
    perpendicular to the text embedding.

    features and source_features [N, D], text_features [N, D] or [1, D], all normalised here → [N]. Not in the paper: L_ID keeps
    the person, this keeps all else that CLIP sees.
    """
    c, source, text = (F.normalize(x, dim=-1) for x in (features, source_features, text_features))
    change = c - source
    return (change - (change * text).sum(dim=-1, keepdim=True) * text).square().sum(dim=-1)


def identity_loss(features, source_features):
    """StyleCLIP Eq. 2, L_ID: 1 − ⟨R(G(w_s)), R(G(w))⟩, R giving unit vectors (they are normalised here). [N, D] twice → [N]."""
    return 1 - (F.normalize(features, dim=-1) * F.normalize(source_features, dim=-1)).sum(dim=-1)


def latent_distance(latents, sources):
    """StyleCLIP Eq. 1, the L2 term: ‖w − w_s‖², the sum over every entry. → [N]

    Both are [N, …], or lists of such tensors for styles. The paper writes ‖·‖₂; the published code squares it, and its
    λ = 0.008 belongs to the square.
    """
    if not isinstance(latents, (list, tuple)):
        latents, sources = [latents], [sources]
    return sum((a - b).square().flatten(1).sum(dim=1) for a, b in zip(latents, sources, strict=True))


def optimization_loss(clip_term, latents, sources, identity_term=0.0, l2=0.008, id_weight=0.0):
    """StyleCLIP Eq. 1: D_CLIP + λ_L2 · ‖w − w_s‖² + λ_ID · L_ID. clip_term and identity_term [N] → [N]

    latents and sources are [N, …], or lists of such tensors for styles; see `latent_distance`.
    """
    return clip_term + l2 * latent_distance(latents, sources) + id_weight * identity_term
