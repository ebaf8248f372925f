"""Generators as ONNX graphs compute what they compute in PyTorch, from one file of weights."""
import pytest
import torch

from course_lib import ops, zoo
from course_lib.networks import pggan, stylegan, stylegan2
from course_lib.zoo import __main__
from course_lib.zoo.formats import onnx

CHANNELS = {4: 8, 8: 8, 16: 8}


def written(tmp_path, G, kind, config):
    """A generator's file, converted by the command. → a session of onnxruntime for each graph"""
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed: pip install 'course-lib[onnx]'")
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed: pip install 'course-lib[onnx]'")
    zoo.save(tmp_path / "G.safetensors", G.state_dict(), kind, dtype=torch.float16, config=config)
    __main__.main(["convert", str(tmp_path / "G.safetensors"), str(tmp_path / "out"), "--to", "onnx"])
    return {path.stem: runtime.InferenceSession(path) for path in (tmp_path / "out").glob("*.onnx")}


def run(session, **inputs):
    return torch.from_numpy(session.run(None, {name: value.numpy() for name, value in inputs.items()})[0])


@pytest.mark.parametrize("module", [stylegan2, stylegan], ids=lambda module: module.__name__.split(".")[-1])
def test_graphs_of_mapping_styles_and_synthesis_give_the_generators_images(tmp_path, module):
    torch.manual_seed(0)
    G = module.Generator(16, z_dim=8, w_dim=8, mapping_layers=2, channels=CHANNELS)
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.5)
    sessions = written(tmp_path, G, f"{module.__name__.split('.')[-1]}-G", {})
    G = zoo.load(tmp_path / "out" / onnx.WEIGHTS)
    z = torch.randn(3, 8)
    noise = [torch.randn(3, 1, *layer.noise_const.shape) for _, layer, _ in G.synthesis.style_layers()
             if hasattr(layer, "noise_const")]
    w = run(sessions["mapping"], z=z)
    styles = run(sessions["styles"], ws=w[:, None].expand(-1, G.num_ws, -1))
    images = run(sessions["synthesis"], styles=styles, noise=torch.cat([part.flatten(1) for part in noise], dim=1))
    expected = G.synthesis(G.mapping(z), noise=noise, impl="reference")
    assert torch.allclose(images, expected, atol=1e-4)
    assert (tmp_path / "out" / onnx.WEIGHTS).stat().st_size > 3 * (tmp_path / "out" / "mapping.onnx").stat().st_size


def test_the_graph_of_pggan_takes_alpha(tmp_path):
    torch.manual_seed(0)
    G = pggan.Generator(16, z_dim=8, channels=CHANNELS)
    session = written(tmp_path, G, "pggan-G", {"reached": 8, "alpha": 0.5})["generator"]
    G = zoo.load(tmp_path / "G.safetensors")
    z = torch.randn(3, 8)
    low, high = (G(z, resolution, alpha=1, impl="reference") for resolution in (4, 8))
    for alpha in (0.0, 0.3, 1.0):
        assert torch.allclose(run(session, z=z, alpha=torch.tensor([alpha])), ops.fade_in(low, high, alpha), atol=1e-5)


def test_a_graph_that_computes_something_else_is_refused(tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed: pip install 'course-lib[onnx]'")
    dense, inputs = torch.nn.Linear(4, 4), {"x": torch.randn(2, 4)}
    path = tmp_path / "dense.onnx"
    path.write_bytes(onnx.graph(dense, inputs, ["y"]).SerializeToString())
    assert onnx.difference(path, dense, inputs) < 1e-6
    dense.bias.data += 0.01
    with pytest.raises(ValueError, match="dense.onnx computes something else than PyTorch: 1.0e-02 apart"):
        onnx.difference(path, dense, inputs)


def test_only_generators_are_written_as_graphs_and_nothing_is_overwritten(tmp_path, capsys):
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed: pip install 'course-lib[onnx]'")
    D = stylegan2.Discriminator(8, channels={4: 8, 8: 8})
    zoo.save(tmp_path / "D.safetensors", D.state_dict(), "stylegan2-D", config={})
    with pytest.raises(SystemExit, match="there is no generator in .*D.safetensors"):
        __main__.main(["convert", str(tmp_path / "D.safetensors"), str(tmp_path / "out"), "--to", "onnx"])
    zoo.save(tmp_path / "G.safetensors", pggan.Generator(4, z_dim=8, channels={4: 8}).state_dict(), "pggan-G", config={})
    with pytest.raises(SystemExit, match="exists already"):
        __main__.main(["convert", str(tmp_path / "G.safetensors"), str(tmp_path), "--to", "onnx"])
