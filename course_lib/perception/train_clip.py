"""Training of the course's CLIP: a portrait and its caption are drawn together, all other pairs of a batch apart."""
import math

import open_clip
import torch

from .. import clip, commands, portraits, results, zoo
from ..images import from_uint8
from ..networks import classifiers
from ..training import data, outputs
from . import common, prompts
from .adversarial import AdversarialEdits, attribute_prompt_loss

LARGEST_SCALE = math.log(100)           # of CLIP's logits (§2.5)
ADVERSARIAL_FROM = 0.4                  # of the steps; before, there is little to confuse


def train(out, steps=8000, batch=1024, lr=1e-3, seed=0, device="cpu", data_size=200_000, held_out=4000, adversarial=0.02,
          generator="", edits=0, attribute_weight=0.0, init="", sizes=clip.POCKET, command=""):
    """Train the course's CLIP on `data_size` portraits and their captions, write `out/clip-portraits.safetensors`, and score that
    file on `held_out` unseen portraits in `out/results/clip.json`, which is returned.

    adversarial: each pixel may first move this far to where it raises the loss most (Goodfellow et al. 2015), which leaves an edit
    fewer ways to please the network without changing the picture; 0 leaves it out. generator: a name or file, of which half as
    many images again are taken, with the attributes that the oracle predicts. edits: the number of AdversarialEdits of its styles,
    from the step on at which pixels move. attribute_weight: of `attribute_prompt_loss`. init: the name or file of a CLIP of
    the course whose weights the training starts from. sizes: of `clip.pocket`. command: stored in the result.
    Files that exist are refused with OSError; Ctrl-C keeps the weights so far (`outputs.save_trained`). Raises ValueError for edits
    without a generator, and for a generator or a CLIP that does not fit Portraits.
    """
    if edits and not generator:
        raise ValueError(f"{edits} edits need a generator, whose styles they change; name one with --generator")
    if generator and zoo.dataset_of(generator) != "portraits":
        raise ValueError(f"{generator} was not trained on Portraits, or its file does not say so, and the oracle, which predicts "
                         "its images' attributes, knows nothing else; name another --generator, or none")
    file, result_file = outputs.output_files(out, "clip-portraits", "clip")
    torch.manual_seed(seed)
    device = torch.device(device)
    data.check_size(data_size, classifiers.RESOLUTION, device, each=1.5 if generator else 1)
    opponents = AdversarialEdits(generator, edits, seed, device) if edits else None
    images, attributes = common.draw_portraits(data_size, seed + 3000, device)
    if generator:
        more, predicted = common.generate_portraits(generator, data_size // 2, seed, device)
        images, attributes = torch.cat([images, more]), {name: torch.cat([x, predicted[name]]) for name, x in attributes.items()}
    attribute_prompts = prompts.attribute_prompts()
    labels = torch.stack([is_true(attributes) for is_true in attribute_prompts.values()])
    words = clip.vocabulary()
    network = _initialised_from(init, words, device) if init else clip.pocket(words, **sizes).to(device)
    variants = [prompts.training_texts({name: value.cpu() for name, value in attributes.items()}, seed + k) for k in range(2)]
    tokens = torch.stack([network.tokenize(variant).to(torch.int16) for variant in variants], dim=1).to(device)
    prompt_tokens = torch.stack([network.tokenize([template.format(text) for text in attribute_prompts])
                                 for template in clip.TEMPLATES]).to(device)
    clip_loss = open_clip.loss.ClipLoss()

    def encode_images(x):
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return network.encode_images(x).float()

    def encode_texts(tokens):
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return network.model.encode_text(tokens, normalize=True).float()

    def contrastive_loss(image_features, text_features):
        return clip_loss(image_features, text_features, network.model.logit_scale.exp())

    def batch_loss(step):
        rows = torch.randint(len(images), [batch], device=device)
        text = tokens[rows, torch.randint(len(variants), [batch], device=device)].long()
        x = clip.random_views(from_uint8(images[rows]))
        text_features = encode_texts(text)
        late = step >= ADVERSARIAL_FROM * steps
        if adversarial and late:
            x = perturbed(lambda x: contrastive_loss(encode_images(x), text_features.detach()), x, adversarial)
        image_features = encode_images(x)
        total = contrastive_loss(image_features, text_features)
        if attribute_weight or edits and late:
            prompt_features, true = encode_texts(prompt_tokens[step % len(prompt_tokens)]), labels[:, rows]
            if attribute_weight:
                scale = network.model.logit_scale.exp()
                total = total + attribute_weight * attribute_prompt_loss(scale, prompt_features, image_features, true)
            if edits and late:
                total = total + opponents.loss(network, prompt_features, image_features, true)
        return total

    trained = common.train(network.model, batch_loss, name="clip", steps=steps, lr=lr, weight_decay=0.05, betas=(0.9, 0.98),
                           after_step=lambda: network.model.logit_scale.data.clamp_(0, LARGEST_SCALE))
    outputs.save_trained(file, trained, "clip", config={"words": words})
    with outputs.scoring(file):
        scores = clip_scores(zoo.load(file, device=device), held_out, generator)
    result = {**results.header(command, [seed]), "images": steps * batch, "held_out": held_out, **scores}
    commands.write_json(result_file, result)
    commands.show_json(scores)
    return result


def _initialised_from(init, words, device):
    """A trained CLIP of the course, to be trained further on texts of the same words."""
    network = clip.load(init, device)
    if getattr(network.tokenize, "keywords", {}).get("words") != words:
        raise ValueError(f'"{init}" does not know the words of the captions; go on from a CLIP of the course, such as '
                         "clip-portraits")
    return network.train().requires_grad_(True)


def perturbed(loss, images, size):
    """Images [N, 3, H, W] moved up the loss by one signed step from a random start (Wong et al. 2020, Alg. 3), each pixel by at
    most `size`. loss: images → a scalar tensor."""
    start = (images + size * (2 * torch.rand_like(images) - 1)).requires_grad_()
    gradient, = torch.autograd.grad(loss(start), start)
    return torch.clamp(start.detach() + 1.25 * size * gradient.sign(), images - size, images + size)


@torch.no_grad()
def clip_scores(network, held_out, generator=""):
    """Scores of a CLIP on `held_out` unseen portraits.

    "recall", and "recall_paraphrased" for sentences built otherwise than in training: `recall_at` 1 and 5 among the first 1,000
    portraits. "zero_shot" and "roc_area": see `prompts`. With a generator, "agreement_generated": how often the zero-shot class of
    its images is the one that the judge predicts, per attribute.
    """
    device = next(network.parameters()).device
    encode = lambda images: torch.cat([network.encode_images(from_uint8(part)).cpu() for part in images.split(500)])
    images, truth = common.draw_portraits(held_out, common.HELD_OUT_SEED, device)
    truth = {name: value.cpu() for name, value in truth.items()}
    image_features = encode(images)
    captions = portraits.caption({name: value[:1000] for name, value in truth.items()}, common.HELD_OUT_SEED)
    recall = {}
    for kind, texts in (("recall", captions), ("recall_paraphrased", [prompts.paraphrased(text) for text in captions])):
        text_features = torch.cat([network.encode_texts(texts[i:i + 500]).cpu() for i in range(0, len(texts), 500)])
        similarity = image_features[:1000] @ text_features.T
        recall[kind] = {f"{name}@{k}": recall_at(matrix, k) for k in (1, 5)
                        for name, matrix in (("image to text", similarity), ("text to image", similarity.T))}
    scores = recall | {"zero_shot": prompts.zero_shot(network, image_features, truth),
                       "roc_area": prompts.roc_areas(network, image_features, truth)}
    if generator:
        images, predicted = common.generate_portraits(generator, held_out // 2, common.HELD_OUT_SEED, device,
                                                      classifier="judge-portraits-64")
        predicted = {name: value.cpu() for name, value in predicted.items()}
        scores["agreement_generated"] = prompts.zero_shot(network, encode(images), predicted)
    return scores


def recall_at(similarity, k):
    """The share of rows whose own column is among the k highest. [N, N] → number."""
    return ((similarity > similarity.diag()[:, None]).sum(dim=1) < k).float().mean().item()
