"""Adversarial losses and regularizers. Each returns one value per sample; the training loop takes means and weights."""
import torch
import torch.nn.functional as F


def generator_loss(fake_logits):
    """Non-saturating loss, Goodfellow et al. 2014 §3: −log sigmoid(D(G(z))). [N] → [N]."""
    return F.softplus(-fake_logits)


def discriminator_loss(real_logits, fake_logits):
    """Logistic loss: −log sigmoid(D(x)) − log(1 − sigmoid(D(G(z)))). [N], [N] → [N]."""
    return F.softplus(-real_logits) + F.softplus(fake_logits)


def relativistic_loss(logits, others):
    """Relativistic pairing loss, Jolicoeur-Martineau 2018, as in R3GAN (Huang et al. 2024, arXiv:2501.05441, Eq. 2):
    −log sigmoid(D(a) − D(b)). D takes reals as a and fakes as b, G the other way round. [N], [N] → [N]."""
    return F.softplus(others - logits)


def r1_penalty(logits, reals):
    """Mescheder et al. 2018 Eq. 9, without its factor γ/2: ‖∇D(x)‖² per real image.

    logits [N] computed from reals [N, 3, H, W], which require gradients → [N]. The sum of the logits is differentiated,
    so samples that share a minibatch-stddev group see each other.
    """
    grads, = torch.autograd.grad(logits.sum(), reals, create_graph=True)
    return grads.float().square().sum(dim=(1, 2, 3))


def wasserstein_generator_loss(fake_logits):
    """WGAN, Arjovsky et al. 2017 Eq. 2: −D(G(z)). [N] → [N]."""
    return -fake_logits


def wasserstein_discriminator_loss(real_logits, fake_logits, drift=0.001):
    """PGGAN App. A.1: D(G(z)) − D(x) + ε D(x)². The drift term keeps the logits near zero. [N], [N] → [N]."""
    return fake_logits - real_logits + drift * real_logits.square()


def gradient_penalty(critic, reals, fakes, target=1.0, mix=None):
    """WGAN-GP, Gulrajani et al. 2017 Eq. 3, without its λ: (‖∇D(x̂)‖ − target)² / target² per image.

    critic: images → logits [N]. x̂ = lerp(real, fake, mix), one uniform number per image unless `mix` [N] is given. → [N]
    """
    mix = torch.rand(len(reals), device=reals.device) if mix is None else mix
    mixed = torch.lerp(reals, fakes, mix.to(reals.dtype)[:, None, None, None]).detach().requires_grad_()
    grads, = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    norms = grads.square().sum(dim=(1, 2, 3)).sqrt()
    return (norms - target).square() / target ** 2


def path_lengths(images, ws, noise):
    """StyleGAN2 §3.2: ‖Jᵀy‖ per image, with y = noise / sqrt(H·W) so that its length does not grow with the resolution.

    images [N, 3, H, W] computed from ws [N, num_ws, w_dim], noise ~ N(0, I) like images → [N]. Over the layers the
    squared lengths are averaged before the root.
    """
    y = noise / (images.shape[2] * images.shape[3]) ** 0.5
    grads, = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
    return grads.float().square().sum(dim=2).mean(dim=1).sqrt()


def path_length_penalty(images, ws, noise, mean, decay=0.01):
    """StyleGAN2 Eq. 4: (‖Jᵀy‖ − a)² per image, and the moving mean a = lerp(mean, batch mean, decay) that it uses.

    Returns (penalty [N], a []). As in the official code a is not detached inside the penalty; detach it to store it.
    """
    lengths = path_lengths(images, ws, noise)
    mean = torch.lerp(torch.as_tensor(mean, device=lengths.device, dtype=lengths.dtype), lengths.mean(), decay)
    return (lengths - mean).square(), mean


def lazy_adam(lr, betas, interval):
    """StyleGAN2 App. B: Adam's constants when a regularizer runs as a step of its own every `interval` steps.

    With c = interval / (interval + 1): lr·c and β^c. The regularizer itself is multiplied by the interval.
    """
    c = interval / (interval + 1)
    return lr * c, tuple(beta ** c for beta in betas)
