"""Two folders of pictures and a stand-in for Inception, and what clean-fid and torch-fidelity make of them.

    pip install clean-fid torch-fidelity
    python tests/score_golden.py

writes tests/golden/scores.json. The stand-in has random weights and 32 features, and like the file of the published FID its
`forward` resizes images as TensorFlow 1 did, while `layers` takes images of 299 px in [-1, 1].
"""
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

STORED = Path(__file__).parent / "golden" / "scores.json"
COUNT, FEATURES = 40, 32
SIDES = 24, 64, 299, 520


class StandIn(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 9, stride=6), nn.ReLU(), nn.Conv2d(8, 8, 5, stride=4), nn.ReLU(),
                                    nn.AdaptiveAvgPool2d(2), nn.Flatten())

    def forward(self, img, return_features: bool = False):
        n, side = img.shape[0], img.shape[-1]
        at = torch.arange(299, dtype=torch.float32) * (side / 299)          # TensorFlow 1: pixel i lies at i, not at i + ½
        at = ((at + 0.5) / side * 2 - 1)
        y, x = torch.meshgrid([at, at], indexing="ij")
        grid = torch.stack([x, y], dim=2)[None].expand(n, -1, -1, -1)
        img = F.grid_sample(img.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
        return self.layers((img - 128) / 128)


def stand_in(path):
    """Write the stand-in as TorchScript, and return it."""
    rng, network = torch.Generator().manual_seed(0), StandIn()
    for value in network.state_dict().values():
        value.copy_(torch.randn(value.shape, generator=rng) / max(1, value[0].numel()) ** 0.5)
    torch.jit.script(network.eval()).save(str(path))
    return network.eval()


def pictures(folder, seed):
    """Write COUNT square pictures of several sizes: smooth colours, darker and noisier for a higher seed."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for i in range(COUNT):
        side = SIDES[i % len(SIDES)]
        smooth = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        noisy = np.asarray(smooth) / seed + rng.normal(0, 30 * seed, (side, side, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03d}.png")
    return folder


def of_clean_fid(a, b, network):
    from cleanfid import fid
    see = lambda x: network.layers((x - 128) / 128)
    with torch.no_grad():
        first, second = (fid.get_folder_features(str(folder), see, num_workers=0, device=torch.device("cpu"), verbose=False)
                         for folder in (a, b))
    return {"fid": float(fid.fid_from_feats(first, second)), "kid": fid.kernel_distance(first, second)}


def of_torch_fidelity(a, b, network):
    import torch_fidelity
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x as resize

    class Extractor(FeatureExtractorBase):
        def __init__(self, name, features, **options):
            super().__init__(name, features)

        @staticmethod
        def get_provided_features_list():
            return ("32",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "32"

        def forward(self, x):
            return (network.layers((resize(x.float(), (299, 299), align_corners=False) - 128) / 128),)

    torch_fidelity.register_feature_extractor("stand-in", Extractor)
    found = torch_fidelity.calculate_metrics(
        input1=str(a), input2=str(b), fid=True, kid=True, kid_subsets=2, kid_subset_size=COUNT, feature_extractor="stand-in",
        feature_layer_fid="32", feature_layer_kid="32", batch_size=1, cuda=False, save_cpu_ram=True, cache=False, verbose=False)
    return {"fid": found["frechet_inception_distance"], "kid": found["kernel_inception_distance_mean"]}


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        network = stand_in(folder / "inception.pt")
        a, b = (pictures(folder / str(seed), seed) for seed in (1, 2))
        found = {"clean-fid": of_clean_fid(a, b, network), "torch-fidelity": of_torch_fidelity(a, b, network)}
    STORED.write_text(json.dumps({"command": "python tests/score_golden.py", **found}, indent=1) + "\n")
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
