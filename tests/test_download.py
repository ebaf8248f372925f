"""Downloads from a local server that breaks off, lies about sizes and serves wrong bytes."""
import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import open_clip
import pytest
import torch
from torch import nn
from torchvision.models import vgg as vgg16

import official_files
from course_lib import clip, download, zoo
from course_lib.metrics import __main__ as cli
from course_lib.metrics import inception, perceptual
from course_lib.networks import stylegan2

DATA = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        how = server.behaviour.pop(0) if server.behaviour else "serve"
        data = server.files.get(self.path.rsplit("/")[-1], server.data)
        start = int(self.headers["Range"][6:-1]) if self.headers.get("Range") and how != "no ranges" else 0
        if how == "missing":
            return self.send_error(404)
        if how == "busy":
            return self.send_error(503)
        if start >= len(data):
            return self.send_error(416)
        body = data[start:] if how != "wrong bytes" else b"x" * (len(data) - start)
        self.send_response(206 if start else 200)
        if start:
            offset = start + 5 if how == "wrong offset" else start
            self.send_header("Content-Range", f"bytes {offset}-{len(data) - 1}/{len(data)}")
        if how != "no length":
            self.send_header("Content-Length", str(len(body) + (1000 if how == "too long" else 0)))
        self.end_headers()
        self.wfile.write(body[:len(body) * 7 // 10] if how == "break" else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.behaviour, server.asked, server.data, server.files = [], [], DATA, {}
    server.url = f"http://127.0.0.1:{server.server_port}/weights.pkl"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def fetch(server, path, *behaviour, **options):
    server.behaviour = list(behaviour)
    return download.fetch(server.url, path, wait=0, progress=False, **options)


def test_a_file_comes_whole_once_and_is_not_asked_for_again(server, tmp_path):
    path = fetch(server, tmp_path / "deep" / "weights.pkl", sha256=SHA256)
    assert path.read_bytes() == DATA and sorted(p.name for p in path.parent.iterdir()) == ["weights.pkl", "weights.pkl.sha256"]
    fetch(server, path, "missing")
    assert len(server.asked) == 1


@pytest.mark.parametrize("behaviour", [["break"], ["break", "break", "busy"], ["break", "no ranges"], ["break", "wrong offset"],
                                       ["no length"], ["too long"]])
def test_breaks_and_lies_are_mended(behaviour, server, tmp_path):
    assert fetch(server, tmp_path / "weights.pkl", *behaviour, sha256=SHA256).read_bytes() == DATA


def test_a_break_goes_on_where_it_stopped_even_in_a_later_call(server, tmp_path):
    path = tmp_path / "weights.pkl"
    with pytest.raises(OSError, match="179,200 bytes are kept, and the next call goes on from there"):
        fetch(server, path, "break", tries=1)
    assert not path.exists()
    fetch(server, path, sha256=SHA256)
    assert server.asked == [None, "bytes=179200-"] and path.read_bytes() == DATA


def test_wrong_bytes_are_refused_and_removed(server, tmp_path):
    path = tmp_path / "weights.pkl"
    with pytest.raises(ValueError, match="not the expected file .* expected " + SHA256[:12]):
        fetch(server, path, "wrong bytes", sha256=SHA256)
    assert list(tmp_path.iterdir()) == []


def test_without_a_known_hash_the_first_one_is_kept(server, tmp_path):
    path = fetch(server, tmp_path / "weights.pkl")
    assert (tmp_path / "weights.pkl.sha256").read_text().startswith(SHA256)
    path.unlink()
    with pytest.raises(ValueError, match="not the expected file"):
        fetch(server, path, "wrong bytes")
    assert fetch(server, path).read_bytes() == DATA


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server, tmp_path):
    (tmp_path / "weights.pkl.partial").write_bytes(b"y" * (len(DATA) + 7))
    assert fetch(server, tmp_path / "weights.pkl", sha256=SHA256).read_bytes() == DATA


def test_a_file_of_unknown_length_needs_a_hash(server, tmp_path):
    with pytest.raises(OSError, match="does not say how long the file is, and no hash is known"):
        fetch(server, tmp_path / "weights.pkl", *["no length"] * 5)
    assert not (tmp_path / "weights.pkl").exists()


def test_a_missing_file_and_no_net_say_what_to_do_by_hand(server, tmp_path):
    path = tmp_path / "weights.pkl"
    with pytest.raises(OSError, match=f"answered 404 .* put it at {path}"):
        fetch(server, path, "missing")
    assert len(server.asked) == 1
    with pytest.raises(OSError, match=f"could not be downloaded: .*refused.* put it at {path}"):
        download.fetch("http://127.0.0.1:9/weights.pkl", path, wait=0, progress=False, tries=2)


def test_a_name_of_the_full_tier_is_downloaded_once_under_nvidias_licence_and_loaded(server, tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    G = stylegan2.Generator(8, z_dim=4, w_dim=4, channels={4: 4, 8: 4}, mapping_layers=2)
    D = stylegan2.Discriminator(8, channels={4: 4, 8: 4})
    server.data = official_files.dump(official_files.snapshot(G.state_dict(), D.state_dict()), 4)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    monkeypatch.setitem(zoo.FULL, "stylegan2-ffhq-1024", server.url)
    server.behaviour = ["break"]
    for _ in range(2):
        loaded = zoo.load("stylegan2-ffhq-1024")
        assert all(torch.equal(loaded.state_dict()[key], value) for key, value in G.state_dict().items())
    assert len(server.asked) == 2 and (tmp_path / "weights.pkl").exists()
    said = capsys.readouterr().err
    assert said.count("weights.pkl: NVIDIA's network, for research and evaluation, not for commercial use") == 1
    with pytest.raises(FileNotFoundError, match="stylegan2-ffhq-1024"):
        zoo.load("stylegan2-ffhq-1025")


def test_a_file_put_there_by_hand_is_compared_with_a_known_hash(server, tmp_path):
    path = tmp_path / "weights.pkl"
    path.write_bytes(DATA)
    assert fetch(server, path, sha256=SHA256) == path
    path.write_bytes(b"another file")
    with pytest.raises(ValueError, match=f"{path} is not the file at {server.url} .* expected {SHA256[:12]}…\\); delete it"):
        fetch(server, path, sha256=SHA256)
    assert fetch(server, path) == path and path.read_bytes() == b"another file" and server.asked == []


# OpenAI's CLIP, LPIPS and Inception: small files in the layouts of the published ones

@pytest.fixture
def folder(server, tmp_path, monkeypatch):
    """The cache folder; what is served is fetched without pauses."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    return tmp_path / "cache"


def served(server, path):
    """Serve a file under its name. → (its address, with the hash in it as OpenAI's, its hash)"""
    server.files[path.name] = path.read_bytes()
    sha256 = hashlib.sha256(server.files[path.name]).hexdigest()
    return server.url.replace("weights.pkl", f"{sha256}/{path.name}"), sha256


def scripted(tensors, path):
    """A TorchScript archive with tensors under their dotted names."""
    root = nn.Module()
    for name, tensor in tensors.items():
        module, (*parents, last) = root, name.split(".")
        for part in parents:
            if not hasattr(module, part):
                module.add_module(part, nn.Module())
            module = getattr(module, part)
        module.register_buffer(last, tensor)
    torch.jit.script(root).save(path)
    return path


@pytest.fixture(scope="module")
def openai(tmp_path_factory):
    """A small ViT with random weights, and its file as OpenAI's are: TorchScript, in float16."""
    torch.manual_seed(0)
    model = open_clip.model.CLIP(8, open_clip.CLIPVisionCfg(layers=1, width=64, patch_size=32, image_size=64),
                                 open_clip.CLIPTextCfg(width=64, heads=1, layers=1), quick_gelu=True).half()
    sizes = {"input_resolution": torch.tensor(64), "context_length": torch.tensor(77), "vocab_size": torch.tensor(49408)}
    file = scripted({**model.state_dict(), **sizes}, tmp_path_factory.mktemp("clip") / "ViT-B-32.pt")
    return model.float().eval(), file


def test_every_model_of_openai_has_its_hash_in_its_address():
    for name in open_clip.list_openai_models():
        assert re.fullmatch(r"https://.*/[0-9a-f]{64}/[^/]+\.pt", open_clip.get_pretrained_cfg(name, "openai")["url"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("behaviour", [["break"], ["too long"], ["break", "no ranges"]])
def test_clip_of_openai_is_downloaded_once_and_loaded_with_its_own_activation(behaviour, openai, server, folder, monkeypatch,
                                                                              capsys):
    model, file = openai
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED["ViT-B-32"]["openai"], "url", served(server, file)[0])
    server.behaviour = list(behaviour)
    for _ in range(2):
        network = clip.load("ViT-B-32/openai")
        assert network.image_size == 64 and network.mean.flatten().tolist() == pytest.approx(open_clip.OPENAI_DATASET_MEAN)
        images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
        expected = model.encode_image(((images + 1) / 2 - network.mean) / network.std, normalize=True)
        assert torch.allclose(network.encode_images(images), expected, atol=1e-5)
        expected = model.encode_text(network.tokenize(["a person with a mohawk"]), normalize=True)
        assert torch.allclose(network.encode_texts("a person with a mohawk"), expected, atol=1e-5)
        server.behaviour = ["missing"]
    assert server.behaviour == ["missing"] and (folder / "ViT-B-32.pt").read_bytes() == file.read_bytes()
    assert capsys.readouterr().err.count("ViT-B-32.pt: OpenAI's CLIP, MIT License") == 1


def test_wrong_bytes_are_never_loaded_as_clip(openai, server, folder, monkeypatch):
    url, sha256 = served(server, openai[1])
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED["ViT-B-32"]["openai"], "url", url)
    monkeypatch.setattr(open_clip, "load_openai_model", None)
    server.behaviour = ["wrong bytes"]
    with pytest.raises(ValueError, match=f"not the expected file .* expected {sha256[:12]}.* put it at {folder / 'ViT-B-32.pt'}"):
        clip.load("ViT-B-32/openai")
    server.behaviour = ["missing"]
    with pytest.raises(OSError, match=f"{url} could not be downloaded: .* 404 .* put it at {folder / 'ViT-B-32.pt'}"):
        clip.load("ViT-B-32/openai")
    (folder / "ViT-B-32.pt").write_bytes(b"put there by hand")
    with pytest.raises(ValueError, match="ViT-B-32.pt is not the file at http"):
        clip.load("ViT-B-32/openai")


@pytest.fixture
def lpips(server, folder, tmp_path, monkeypatch):
    """A narrow VGG16 and its linear heads, in torch's old format as published, at the addresses of LPIPS. → their files"""
    monkeypatch.setitem(vgg16.cfgs, "D", [2, 2, "M", 2, 2, "M", 3, 3, 3, "M", 3, 3, 3, "M", 4, 4, 4, "M"])
    torch.manual_seed(0)
    files = {"vgg.pth": {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate((2, 2, 3, 3, 4))},
             "vgg16.pth": {f"features.{key}": t for key, t in vgg16.make_layers(vgg16.cfgs["D"]).state_dict().items()}}
    for name, tensors in files.items():
        torch.save(tensors, tmp_path / name, _use_new_zipfile_serialization=False)
    linear, vgg = (tmp_path / name for name in files)
    monkeypatch.setattr(perceptual, "LINEAR", served(server, linear))
    monkeypatch.setattr(perceptual, "VGG", served(server, vgg))
    return linear, vgg


@pytest.mark.parametrize("behaviour", [["break"], ["too long"], ["serve", "break", "no ranges"]])
def test_lpips_is_downloaded_once_when_asked_for(behaviour, lpips, server, folder):
    server.behaviour = list(behaviour)
    a, b = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for _ in range(2):
        distance = perceptual.lpips_distance("download")
        assert torch.equal(distance(a, b), perceptual.lpips_distance(*lpips)(a, b)) and (distance(a, b) > 0).all()
        server.behaviour = ["missing"]
    assert server.behaviour == ["missing"]
    assert sorted(file.name for file in folder.iterdir()) == ["vgg.pth", "vgg.pth.sha256", "vgg16.pth", "vgg16.pth.sha256"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("behaviour", [["break"], ["too long"], ["break", "no ranges"]])
def test_inception_is_downloaded_once_when_asked_for(behaviour, server, folder, tmp_path, monkeypatch, capsys):
    url, sha256 = served(server, scripted({"weight": torch.arange(5.0)}, tmp_path / "inception.pt"))
    monkeypatch.setattr(inception, "SOURCE", url)
    monkeypatch.setattr(inception, "SHA256", sha256)
    server.behaviour = list(behaviour)
    for _ in range(2):
        assert inception.load_inception("download").state_dict()["weight"].tolist() == [0, 1, 2, 3, 4]
        server.behaviour = ["missing"]
    assert server.behaviour == ["missing"] and (folder / "inception.pt").exists()
    assert "inception.pt: Google's" in capsys.readouterr().err


def test_wrong_bytes_and_no_net_say_which_weights_to_put_where(lpips, server, folder, monkeypatch):
    monkeypatch.setattr(inception, "SOURCE", server.url.replace("weights.pkl", "inception.pt"))
    for load, name in ((inception.load_inception, "inception.pt"), (perceptual.lpips_distance, "vgg.pth")):
        for how, error, message in (("wrong bytes", ValueError, "not the expected file"), ("missing", OSError, "answered 404")):
            server.behaviour = [how]
            with pytest.raises(error, match=f"http.*/{name} .*{message}.* put it at {folder / name}"):
                load("download")
    with pytest.raises(SystemExit, match=f"could not be downloaded: the server answered 404 .* put it at {folder / 'vgg.pth'}"):
        server.behaviour = ["missing"]
        cli.main(["stylegan2-portraits-64", "ppl", "--lpips", "download", "--device", "cpu"])


def test_a_missing_file_is_never_fetched_unasked(server, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "fetch", None)
    wanted = f"fetch {inception.SOURCE} .*--inception download\\) to have it fetched to {folder}"
    with pytest.raises(FileNotFoundError, match=wanted):
        inception.load_inception(None)
    wanted = f"fetch {perceptual.LINEAR[0]} and {perceptual.VGG[0]} .*--lpips download\\) to have them fetched to {folder}"
    for files in ((tmp_path / "none.pth", tmp_path / "none.pth"), ("vgg.pth",)):
        with pytest.raises(FileNotFoundError, match=wanted):
            perceptual.lpips_distance(*files)
    with pytest.raises(SystemExit):
        cli.main(["stylegan2-portraits-64", "ppl", "--lpips", "vgg.pth"])


def test_the_cache_folder_can_be_chosen(server, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    assert download.cache() == tmp_path
    assert download.fetch(server.url, progress=False) == tmp_path / "weights.pkl"
    monkeypatch.delenv("COURSE_CACHE")
    assert download.cache().name == "stylegan-course"
