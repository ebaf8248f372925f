"""Downloads from a local server that breaks off, lies about sizes and serves wrong bytes."""
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

import official_files
from course_lib import download, zoo
from course_lib.networks import stylegan2

DATA = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        how, data = server.behaviour.pop(0) if server.behaviour else "serve", server.data
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
    server.behaviour, server.asked, server.data = [], [], DATA
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


def test_a_name_of_the_full_tier_is_downloaded_once_and_loaded(server, tmp_path, monkeypatch):
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
    with pytest.raises(FileNotFoundError, match="stylegan2-ffhq-1024"):
        zoo.load("stylegan2-ffhq-1025")


def test_the_cache_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    assert download.cache() == tmp_path
    monkeypatch.delenv("COURSE_CACHE")
    assert download.cache().name == "stylegan-course"
