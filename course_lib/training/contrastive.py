"""Training of CLIP and of the identity network: what belongs together is drawn near, all other pairs of a batch apart."""
import copy
import math

import open_clip
import torch
from sklearn.metrics import roc_auc_score
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from .. import clip, commands, judges, portraits, zoo
from . import data, readers, texts
from .edits import Edits, claims_loss

LARGEST_SCALE = math.log(100)           # of CLIP's logits (§2.5)
IDENTITY_SCALE = 15.0
VIEWS = 4                               # portraits of each person
ADVERSARIAL_FROM = 0.4                  # of the steps; before, there is little to confuse


def train_clip(out, steps=8000, batch=1024, lr=1e-3, seed=0, device="cpu", data_size=200_000, held_out=4000, adversarial=0.02,
               generator="", edits=0, claims_weight=0.0, init="", sizes=clip.POCKET, command=""):
    """Train the course's CLIP, write `out/clip-portraits.safetensors`, and score that file on unseen portraits in
    `out/results/clip.json`.

    adversarial: each pixel may first move this far to where it confuses most (Goodfellow et al. 2015), which leaves an
    edit fewer ways to please the network without changing the picture; 0 leaves it out. generator: a name or file, of which
    half as many images again are taken, described as the oracle reads them. edits: how many edits of its styles go on against the
    network while it is trained, from the step on at which it meets moved pixels. claims_weight: of `claims_loss`. init: the name
    or file of a CLIP of the course to go on from.
    """
    if edits and not generator:
        raise ValueError(f"{edits} edits need a generator, whose styles they change; name one with --generator")
    if generator and zoo.dataset_of(generator) != "portraits":
        raise ValueError(f"{generator} was not trained on Portraits, or its file does not say so, and the oracle, which describes its images, "
                         "knows nothing else; name another --generator, or none")
    file, result = readers.result_files(out, "clip-portraits", "clip")
    torch.manual_seed(seed)
    device = torch.device(device)
    data.check_size(data_size, judges.RESOLUTION, device, each=1.5 if generator else 1)
    fooling = Edits(generator, edits, seed, device) if edits else None
    images, truth = readers.draw(data_size, seed + 3000, device)
    if generator:
        more = generated(generator, data_size // 2, seed, device)
        images, truth = torch.cat([images, more[0]]), {name: torch.cat([truth[name], more[1][name]]) for name in truth}
    claims = texts.claims()
    true = torch.stack([shows(truth) for shows in claims.values()])
    words = clip.vocabulary()
    network = _begun(init, words, device) if init else clip.pocket(words, **sizes).to(device)
    variants = [texts.training_texts({name: value.cpu() for name, value in truth.items()}, seed + k)
                for k in range(2)]
    tokens = torch.stack([network.tokenize(variant).to(torch.int16) for variant in variants], dim=1).to(device)
    said = torch.stack([network.tokenize([template.format(text) for text in claims]) for template in clip.TEMPLATES]).to(device)
    contrast = open_clip.loss.ClipLoss()

    def encode(x):
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return network.encode_images(x).float()

    def encode_text(tokens):
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return network.model.encode_text(tokens, normalize=True).float()

    loss = lambda found, wanted: contrast(found, wanted, network.model.logit_scale.exp())

    def one_batch(step):
        rows = torch.randint(len(images), [batch], device=device)
        text = tokens[rows, torch.randint(len(variants), [batch], device=device)].long()
        x = clip.random_views(images[rows].float() / 127.5 - 1)
        wanted = encode_text(text)
        late = step >= ADVERSARIAL_FROM * steps
        if adversarial and late:
            x = perturbed(lambda x: loss(encode(x), wanted.detach()), x, adversarial)
        found = encode(x)
        total = loss(found, wanted)
        if claims_weight or edits and late:
            features, of_these = encode_text(said[step % len(said)]), true[:, rows]
            if claims_weight:
                total = total + claims_weight * claims_loss(network.model.logit_scale.exp(), features, found, of_these)
            if edits and late:
                total = total + fooling.loss(network, features, found, of_these)
        return total

    averaged, *progress = descend("clip", network.model, one_batch, steps, lr, device)
    readers.save_trained(file, averaged, "clip", *progress, config={"words": words})
    with readers.scoring(file):
        found = clip_scores(zoo.load(file, device=device), held_out, generator)
    return _write(result, command, seed, steps * batch, held_out, found)


def _begun(init, words, device):
    """A trained CLIP of the course, to be trained further on texts of the same words."""
    network = clip.load(init, device)
    if getattr(network.tokenize, "keywords", {}).get("words") != words:
        raise ValueError(f'"{init}" does not know the words of the captions; go on from a CLIP of the course, such as clip-portraits')
    return network.train().requires_grad_(True)


def train_identity(out, steps=4000, batch=512, lr=2e-3, seed=0, device="cpu", data_size=50_000, held_out=4000, command=""):
    """Train the identity network, write `out/identity-portraits-64.safetensors`, and its scores on unseen people to
    `out/results/identity.json`. data_size: people, each with VIEWS portraits."""
    file, result = readers.result_files(out, "identity-portraits-64", "identity")
    torch.manual_seed(seed)
    device = torch.device(device)
    data.check_size(data_size, judges.RESOLUTION, device, each=VIEWS)
    images = people(data_size, VIEWS, seed + 4000, device)[0]
    network = judges.Identity().to(device)
    contrast = open_clip.loss.ClipLoss()

    def one_batch(step):
        rows = torch.randint(len(images), [batch], device=device)
        first, other = torch.rand(batch, VIEWS, device=device).topk(2).indices.unbind(dim=1)
        x = torch.cat([images[rows, first], images[rows, other]]).float() / 127.5 - 1
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            features = network(readers.augment(x, "oracle"))
        return contrast(*features.float().chunk(2), IDENTITY_SCALE)

    averaged, done, _, stops = descend("identity", network, one_batch, steps, lr, device)
    with commands.noted_stops(patient=True) as late:        # the file holds the threshold, which the scores are counted for
        found = {"threshold": network.threshold} if stops else identity_scores(averaged, held_out, device)
    readers.save_trained(file, averaged, "identity", done, steps, stops, config={"threshold": found["threshold"]})
    if late:
        raise type(late[0])(f"stopped while the scores were counted; the trained network is kept in {file}")
    return _write(result, command, seed, steps * batch * 2, held_out, found)


def descend(name, network, loss_of_a_batch, steps, lr, device):
    """AdamW with a short warm-up and a cosine. → the moving average of the network, the steps done, `steps`, and the stops, if
    Ctrl-C or SIGTERM ended it before its time."""
    averaged = copy.deepcopy(network)
    slow, fast = ([t for t in net.state_dict().values() if t.is_floating_point()] for net in (averaged, network))
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.05, fused=device.type == "cuda")
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1, cycle_momentum=False)
    done = 0
    with commands.noted_stops() as stops, tqdm(range(steps), desc=name, unit="step") as bar:
        for step in bar:
            if stops:
                break
            loss = loss_of_a_batch(step)
            if step % 100 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}")
                if not loss.isfinite():
                    raise ValueError(f"the loss of {name} is {loss.item()} in step {step}; take a lower --lr")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            if hasattr(network, "logit_scale"):
                network.logit_scale.data.clamp_(0, LARGEST_SCALE)
            get_ema_multi_avg_fn(min(0.998, (1 + step) / (10 + step)))(slow, fast, None)
            done = step + 1
        else:
            stops.clear()
    return averaged.eval().requires_grad_(False), done, steps, stops


def perturbed(loss, images, size):
    """Images moved up the loss by one signed step from a random start (Wong et al. 2020, Alg. 3), each pixel by at most `size`."""
    start = (images + size * (2 * torch.rand_like(images) - 1)).requires_grad_()
    gradient, = torch.autograd.grad(loss(start), start)
    return torch.clamp(start.detach() + 1.25 * size * gradient.sign(), images - size, images + size)


# Images

@torch.no_grad()
def generated(name, count, seed, device, batch=256, reader="oracle-portraits-64"):
    """Images of a generator as uint8, and their attributes as the oracle, or another reader, reads them."""
    G, reader = zoo.load(name, device=device), zoo.load(reader, device=device)
    if not hasattr(G, "z_dim"):
        raise ValueError(f"--generator {name} is no generator; name one such as stylegan2-portraits-64")
    rng = torch.Generator().manual_seed(seed + 5000)
    resize = lambda images: torch.nn.functional.interpolate(images, [judges.RESOLUTION] * 2, mode="bilinear", antialias=True)
    images = torch.cat([((resize(G(z.to(device)).clamp(-1, 1)) + 1) * 127.5).round().to(torch.uint8)
                        for z in torch.randn(count, G.z_dim, generator=rng).split(batch)])
    reading = [judges.read(reader, part.float() / 127.5 - 1) for part in images.split(4096)]
    reading = portraits.canonical({key: torch.cat([part[key] for part in reading]) for key in reading[0]})
    return images, {key: value.to(device) for key, value in reading.items()}


def people(count, views, seed, device, batch=1024):
    """Portraits of `count` people as uint8 [count, views, 3, 64, 64], in other poses, light and hair; and their attributes."""
    images = torch.empty(count, views, 3, 64, 64, dtype=torch.uint8, device=device)
    attributes = portraits.sample_attributes(count, seed)
    for view in range(views):
        seen = attributes if view == 0 else portraits.same_person(attributes, seed * 1_000_003 + view)
        for start in range(0, count, batch):
            part = {name: value[start:start + batch] for name, value in seen.items()}
            noise = portraits.sample_noise(len(part["yaw"]), seed * 1_000_003 + view * count + start)
            drawn = portraits.render(part, judges.RESOLUTION, noise, device)
            images[start:start + batch, view] = ((drawn + 1) * 127.5).round().to(torch.uint8)
    return images, attributes


# Scores

@torch.no_grad()
def clip_scores(network, held_out, generator=""):
    """On unseen portraits: recall among the first 1,000, also for sentences built otherwise than in training, and accuracy
    per attribute without training for it; of a generator's portraits how often that agrees with the judge."""
    device = next(network.parameters()).device
    encode = lambda images: torch.cat([network.encode_images(part.float() / 127.5 - 1).cpu() for part in images.split(500)])
    images, truth = readers.draw(held_out, readers.HELD_OUT_SEED, device)
    truth = {name: value.cpu() for name, value in truth.items()}
    seen = encode(images)
    captions = portraits.caption({name: value[:1000] for name, value in truth.items()}, readers.HELD_OUT_SEED)
    recall = {}
    for kind, sentences in (("recall", captions), ("recall_paraphrased", [texts.paraphrased(text) for text in captions])):
        similarity = seen[:1000] @ torch.cat([network.encode_texts(sentences[i:i + 500]).cpu() for i in range(0, len(sentences), 500)]).T
        recall[kind] = {f"{name}@{k}": recall_at(matrix, k) for k in (1, 5)
                        for name, matrix in (("image to text", similarity), ("text to image", similarity.T))}
    found = recall | {"zero_shot": texts.zero_shot(network, seen, truth), "roc_area": texts.roc_areas(network, seen, truth)}
    if generator:
        images, reading = generated(generator, held_out // 2, readers.HELD_OUT_SEED, device, reader="judge-portraits-64")
        reading = {name: value.cpu() for name, value in reading.items()}
        found["agreement_generated"] = texts.zero_shot(network, encode(images), reading)
    return found


def recall_at(similarity, k):
    """The share of rows whose own column is among the k highest. [N, N] → number."""
    return ((similarity > similarity.diag()[:, None]).sum(dim=1) < k).float().mean().item()


@torch.no_grad()
def identity_scores(network, held_out, device):
    """Verification of unseen people against others, and against the most alike among the others: accuracy and ROC area.

    The threshold is chosen on the first half of the people, the accuracy counted on the second.
    """
    images, attributes = people(held_out, 2, readers.HELD_OUT_SEED, device)
    a, b = (torch.cat([network(part.float() / 127.5 - 1).cpu() for part in images[:, view].split(500)]) for view in (0, 1))
    vectors = portraits.identity(attributes)
    alike = torch.cdist(vectors, vectors).fill_diagonal_(math.inf).argmin(dim=1)
    same, others, lookalikes = ((a * x).sum(dim=1) for x in (b, b.roll(1, dims=0), b[alike]))
    half = held_out // 2
    accuracy = lambda wrong, part, limit: ((same[part] >= limit).float().mean() + (wrong[part] < limit).float().mean()).item() / 2
    threshold = max(torch.linspace(-1, 1, 401).tolist(), key=lambda limit: accuracy(others, slice(0, half), limit))
    area = lambda wrong: float(roc_auc_score([1] * len(same) + [0] * len(wrong), torch.cat([same, wrong])))
    rest = slice(half, None)
    return {"threshold": threshold, "accuracy": accuracy(others, rest, threshold), "roc_area": area(others),
            "accuracy_lookalikes": accuracy(lookalikes, rest, threshold), "roc_area_lookalikes": area(lookalikes)}


def _write(path, command, seed, images, held_out, scores):
    result = {"command": command, "world": portraits.VERSION, "seeds": [seed], "images": images, "held_out": held_out, **scores}
    commands.write_json(path, result)
    commands.show_json(scores)
    return result
