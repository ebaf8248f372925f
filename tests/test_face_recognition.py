"""Face-recognition networks of one's own, with random weights, as the identity network of an edit."""
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import styleclip
from course_lib.networks import face_recognition, stylegan2

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


class Embedding(nn.Module):
    """A network that takes images of 24 px and no others."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.PReLU(4), nn.Flatten(), nn.Linear(4 * 11 * 11, 5))

    def forward(self, x):
        return self.layers(x)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Embedding().eval()


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("faces") / "faces.pt"
    torch.jit.freeze(torch.jit.script(network)).save(path)
    return path


def images(n=3, size=32, seed=0):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_images_are_cut_resized_and_normalised_as_the_network_was_trained(network, file):
    identity = face_recognition.from_torchscript(file, size=24, mean=(0.4, 0.5, 0.6), std=0.25, crop=(0.25, 0, 1, 0.75), bgr=True)
    x = F.interpolate(images()[:, [2, 1, 0], :24, 8:], [24, 24], mode="bilinear", antialias=True) / 2 + 0.5
    expected = network((x - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / 0.25)
    assert torch.allclose(identity(images()), F.normalize(expected, dim=1), atol=1e-5)
    for wrong in (images()[:, :1], images() * 127.5 + 127.5):
        with pytest.raises(ValueError, match=r"\[-1, 1\]"):
            identity(wrong)


def test_it_guides_an_edit_and_judges_who_is_the_same(file):
    identity = face_recognition.from_torchscript(file, size=24, threshold=0.999)
    assert identity.same_person(images(), images()).all() and not identity.same_person(images(), -images()).any()
    x = images().requires_grad_()
    gradient, = torch.autograd.grad(identity(x)[:, 0].sum(), x)
    assert gradient.abs().max() > 0
    torch.manual_seed(0)
    G = stylegan2.Generator(16, z_dim=8, w_dim=8, channel_base=64, channel_max=8, mapping_layers=2).eval().requires_grad_(False)
    clip = SimpleNamespace(encode_images=lambda x: F.normalize(x.mean(dim=(2, 3)), dim=1),
                           encode_texts=lambda _: torch.tensor([[1.0, 0, 0]]))
    edit = styleclip.optimize(G, clip, "red", G.mapping(torch.randn(2, 8)), steps=3, views=1, identity=identity, id_weight=1.0)
    assert (edit.losses["identity"][-1] > 0).all()
    with pytest.raises(ValueError, match="no threshold; pass the cosine"):
        face_recognition.from_torchscript(file, size=24).same_person(images(), images())


def test_files_and_options_that_cannot_work_are_named(file, tmp_path):
    (tmp_path / "text.pt").write_text("no network")
    torch.jit.script(nn.Conv2d(3, 2, 1)).save(tmp_path / "maps.pt")
    for path, options, message in ((tmp_path / "none.pt", {}, "none.pt is missing"),
                                   (tmp_path / "text.pt", {}, "is no TorchScript network"),
                                   (file, {}, "faces.pt is no network that makes vectors of images of 112 px"),
                                   (tmp_path / "maps.pt", {}, r"gives \[2, 2, 112, 112\] for 2 images"),
                                   (file, {"size": 24, "crop": (0.5, 0, 0.2, 1)}, "as shares of the image")):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            face_recognition.from_torchscript(path, **options)


class FakeSession:
    """What ONNX Runtime offers: named inputs with their shapes, and `run` on NumPy arrays."""

    def __init__(self, path, providers):
        self.network, self.calls = torch.jit.load(path), []

    def get_inputs(self):
        return [SimpleNamespace(name="image", shape=[1, 3, 24, 24])]

    def run(self, outputs, feed):
        self.calls.append(feed["image"].shape)
        return [self.network(torch.from_numpy(feed["image"])).detach().numpy()]


def test_an_onnx_network_scores_edits_and_does_not_guide_them(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=FakeSession))
    scoring, guiding = face_recognition.from_onnx(file, size=24, threshold=0.5), face_recognition.from_torchscript(file, size=24)
    assert torch.allclose(scoring(images()), guiding(images()), atol=1e-6)
    assert set(scoring.network.session.calls) == {(1, 3, 24, 24)}          # its file was made for one image at a time
    assert scoring.same_person(images(), images()).all()
    with pytest.raises(ValueError, match="computes no gradients, so this network can score edits but not guide them"):
        scoring(images().requires_grad_())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnxruntime"):
        face_recognition.from_onnx(file)


def test_a_real_onnx_file_is_read_where_onnx_runtime_is_installed(network, tmp_path):
    for package in ("onnxruntime", "onnx"):
        pytest.importorskip(package, reason=f"{package} is not installed; the course does not need it")
    torch.onnx.export(network, (torch.zeros(1, 3, 24, 24),), tmp_path / "faces.onnx", dynamo=False, input_names=["image"],
                      dynamic_axes={"image": {0: "n"}})
    identity = face_recognition.from_onnx(tmp_path / "faces.onnx", size=24)
    x = F.interpolate(images(), [24, 24], mode="bilinear", antialias=True)
    assert torch.allclose(identity(images()), F.normalize(network(x), dim=1), atol=1e-4)
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ValueError, match="text.onnx is no ONNX network"):
        face_recognition.from_onnx(tmp_path / "text.onnx")
