"""Pictures, sheets and films of any generator: what they hold, what is refused, and that nothing is lost."""
import re

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from course_lib import film, generate, images, ops, zoo
from course_lib.networks import pggan, stylegan, stylegan2
from course_lib.styleclip.common import fingerprint

SMALL = dict(channel_base=64, channel_max=8)


def networks():
    torch.manual_seed(0)
    return {"stylegan2": stylegan2.Generator(16, z_dim=8, w_dim=8, mapping_layers=2, **SMALL),
            "classes": stylegan2.Generator(16, z_dim=8, w_dim=8, mapping_layers=2, c_dim=3, img_channels=1, **SMALL),
            "stylegan": stylegan.Generator(16, z_dim=8, w_dim=8, mapping_layers=2, **SMALL),
            "pggan": pggan.Generator(16, z_dim=8, **SMALL)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    for name, G in networks().items():
        kind = "stylegan2-G" if name == "classes" else f"{name}-G"
        zoo.save(folder / f"{name}.safetensors", G.state_dict(), kind)
    zoo.save(folder / "D.safetensors", stylegan2.Discriminator(16, **SMALL).state_dict(), "stylegan2-D")
    return folder


@pytest.fixture(params=["stylegan2", "classes", "stylegan", "pggan"])
def G(request, files):
    return zoo.load(files / f"{request.param}.safetensors")


def command(*words):
    return generate.main([str(word) for word in (*words, "--device", "cpu")])


def tile(sheet, row, column, side=16):
    return sheet.crop((column * side, row * side, (column + 1) * side, (row + 1) * side)).tobytes()


@pytest.mark.parametrize("text, found", [("0-3", [0, 1, 2, 3]), ("7", [7]), ("0-1,40, 5-5", [0, 1, 40, 5])])
def test_a_range_lists_its_numbers(text, found):
    assert generate.numbers(text) == found


def test_a_seed_gives_the_same_picture_in_a_file_on_a_sheet_and_in_any_batch(files, tmp_path, capsys):
    for name in ("stylegan2", "classes", "stylegan", "pggan"):
        words, out = (files / f"{name}.safetensors", "--seeds", "5,1,9"), tmp_path / name
        command(*words, "--batch", 2, "--out", out)
        command(*words, "--grid", "--columns", 2, "--out", out)
        assert f"{out}: 3 pictures, seed0005.png to seed0009.png" in capsys.readouterr().out
        command(files / f"{name}.safetensors", "--seeds", "5", "--out", tmp_path / f"{name}-one")
        assert capsys.readouterr().out == f"{tmp_path / name}-one: 1 picture, seed0005.png\n"
        sheet = Image.open(out / "grid.png")
        assert sheet.size == (32, 32)
        for i, seed in enumerate((5, 1, 9)):
            assert Image.open(out / f"seed{seed:04d}.png").tobytes() == tile(sheet, i // 2, i % 2)
        assert len({path.read_bytes() for path in out.glob("seed*.png")}) == 3


def test_psi_truncates_as_the_generator_does_and_0_gives_one_picture(files):
    G = zoo.load(files / "stylegan2.safetensors")
    z, _ = generate.drawn(G, [3, 4])
    expected = images.to_uint8(G(z, psi=0.6, noise="const"))
    assert torch.equal(torch.stack(list(generate.images(G, generate.latents(G, [3, 4], psi=0.6)))), expected)
    first, second = generate.images(G, generate.latents(G, [3, 4], psi=0))
    assert torch.equal(first, second)


def test_a_class_is_that_of_the_option_and_otherwise_the_seeds_own(files):
    G = zoo.load(files / "classes.safetensors")
    z, c = generate.drawn(G, range(20))
    assert c.sum(dim=1).eq(1).all() and c.sum(dim=0).gt(0).all()
    assert generate.drawn(G, range(20), 2)[1][:, 2].eq(1).all()
    mine = generate.latents(G, range(20), 1)
    assert torch.allclose(mine[:, 0], G.mapping(z, c)) and not torch.allclose(generate.latents(G, range(20), 1, 2), mine)


def test_a_loop_visits_its_points_in_equal_steps_and_closes():
    points = torch.randn(3, 2, 5)
    path = generate.loop(points, 12)
    assert torch.allclose(path[::4], points)
    steps = torch.cat([path, path[:1]]).diff(dim=0)
    for k in range(3):
        assert torch.allclose(steps[4 * k:4 * k + 4], (points[(k + 1) % 3] - points[k]).expand(4, -1, -1) / 4, atol=1e-6)
    round_ = generate.loop(points[:, 0], 12, ops.slerp)
    angles = torch.acos((round_ * round_.roll(-1, dims=0)).sum(dim=1).clamp(-1, 1)).view(3, 4)
    assert torch.allclose(round_.norm(dim=1), torch.ones(12)) and torch.allclose(angles, angles[:, :1].expand(-1, 4), atol=1e-3)
    with pytest.raises(ValueError, match="needs two or more"):
        generate.loop(points[:1], 12)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.mp4"])
def test_a_film_has_its_frames_and_its_seconds(name, files, tmp_path):
    if name == "a.mp4":
        imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    command(files / "stylegan2.safetensors", "--seeds", "0-2", "--video", name, "--seconds", 1, "--fps", 12, "--scale", 2,
            "--out", tmp_path)
    if name == "a.mp4":
        about, *shown = imageio_ffmpeg.read_frames(str(tmp_path / name))
        assert about["size"] == (32, 32) and about["fps"] == 12 and len(shown) == 12
        return
    picture, total = Image.open(tmp_path / name), 0
    for i in range(picture.n_frames):
        picture.seek(i)
        picture.load()
        total += picture.info["duration"]
    assert picture.size == (32, 32) and picture.n_frames == 12 and total == 1000 and picture.info["loop"] == 0


def test_a_film_in_z_visits_its_seeds(G):
    args = generate.parser_of().parse_args(["x", "--seeds", "0-1", "--video", "a.gif", "--space", "z", "--fps", "6", "--out", "x"])
    generate.check(args)
    found, first, second = generate.film_latents(G, args), *generate.latents(G, [0, 1])
    direction = lambda latent: latent / latent.norm()
    assert len(found) == 12
    for latent, seed in ((found[0], first), (found[6], second)):
        assert torch.allclose(direction(latent), direction(seed), atol=1e-3)


def test_columns_give_the_layers_of_a_mixing_table_and_rows_the_others(files, tmp_path):
    G = zoo.load(files / "stylegan2.safetensors")
    command(files / "stylegan2.safetensors", "--mix", "0-1", "5-7", "--layers", "0,2", "--out", tmp_path)
    sheet = Image.open(tmp_path / "mix.png")
    assert sheet.size == (64, 48) and set(tile(sheet, 0, 0)) == {255}
    rows, columns = generate.latents(G, [0, 1]), generate.latents(G, [5, 6, 7])
    ws = rows[1].clone()
    ws[[0, 2]] = columns[2][[0, 2]]
    cell, = generate.images(G, ws[None])
    assert tile(sheet, 2, 3) == images.to_pil(cell).tobytes()
    (top,), (left,) = generate.images(G, columns[1:2]), generate.images(G, rows[:1])
    assert tile(sheet, 0, 2) == images.to_pil(top).tobytes() and tile(sheet, 1, 0) == images.to_pil(left).tobytes()


def test_latents_of_a_file_are_shown_as_they_are(files, tmp_path):
    G, ws = zoo.load(files / "stylegan.safetensors"), torch.randn(2, 6, 8)
    save_file({"ws": ws}, tmp_path / "ws.safetensors")
    save_file({"w": ws[:, 0].contiguous()}, tmp_path / "w.safetensors")
    save_file({"z": torch.randn(2, 8)}, tmp_path / "z.safetensors")
    command(files / "stylegan.safetensors", "--latents", tmp_path / "ws.safetensors", "--out", tmp_path)
    expected = images.to_pil(images.to_uint8(G.synthesis(ws, noise="const"))[1])
    assert Image.open(tmp_path / "latent0001.png").tobytes() == expected.tobytes()
    assert torch.equal(generate.read_latents(tmp_path / "w.safetensors", G), ws[:, :1].expand(-1, 6, -1))
    command(files / "pggan.safetensors", "--latents", tmp_path / "z.safetensors", "--video", "a.gif", "--fps", 2, "--out", tmp_path)
    with pytest.raises(ValueError, match=r"holds no latents of this generator: it needs ws \[N, 6, 8\] or w \[N, 8\], and has z"):
        generate.read_latents(tmp_path / "z.safetensors", G)
    zoo.save(tmp_path / "found.safetensors", {"ws": ws}, "latents", generator=fingerprint(G), model="stylegan.safetensors")
    assert torch.equal(generate.read_latents(tmp_path / "found.safetensors", G), ws)
    with pytest.raises(ValueError, match="latents of another generator, stylegan.safetensors; take that one"):
        generate.read_latents(tmp_path / "found.safetensors", zoo.load(files / "stylegan2.safetensors"))


@pytest.mark.parametrize("words, message", [
    (("stylegan2", "--seeds", "3-1"), "ends before it begins; write 1-3"), (("stylegan2", "--seeds", "a"), "is no list of numbers"),
    (("stylegan2", "--seeds", "0-4000000000"), "more than 100,000"), (("stylegan2", "--seeds", "-1"), "is no list of numbers"),
    (("stylegan2", "--fps", "0"), "must be at least 1"), (("stylegan2", "--seconds", "0"), "must be above 0"),
    (("stylegan2", "--grid", "--video", "a.gif"), "not allowed with"),
    (("stylegan2", "--video", "a.avi"), '".avi" is no format of films here; name an .mp4'),
    (("stylegan2", "--video", "a.gif", "--seeds", "3"), "needs two or more"),
    (("stylegan2", "--class", "0"), "knows no classes"), (("classes", "--class", "3"), "there is no class 3"),
    (("stylegan2", "--mix", "0", "1", "--layers", "4-9"), "there is no layer 9; this generator has 0 to 5"),
    (("pggan", "--mix", "0", "1"), "no layers to mix"), (("pggan", "--psi", "0.5"), "psi is 0.5, but only 1 is possible"),
    (("pggan", "--video", "a.gif", "--space", "w"), "has no W; take --space z"),
    (("D", "--grid"), 'D.safetensors" holds a Discriminator, which is no generator'),
    (("stylegan2", "--columns", "3"), "--columns needs --grid"), (("stylegan2", "--layers", "3"), "--layers needs --mix"),
    (("stylegan2", "--fps", "3"), "--fps needs --video"), (("stylegan2", "--mix", "0", "1", "--seeds", "3"), "leave --seeds out"),
    (("stylegan2", "--video", "a"), "a has no ending; name a.mp4, a.webp or a.gif"), (("none",), "neither a file nor a model"),
    (("stylegan2", "--latents", "D.safetensors"), "holds no latents of this generator"),
    (("D", "--latents", "D.safetensors"), "a Discriminator, which is no generator"),
    (("stylegan2", "--latents", "D.safetensors", "--psi", "1"), "leave --seeds, --psi, --class and --mix out")])
def test_what_cannot_be_made_is_one_sentence(words, message, files, tmp_path, capsys):
    name, *words = [files / word if word.endswith(".safetensors") else word for word in words]
    with pytest.raises(SystemExit) as end:
        command(files / f"{name}.safetensors", *words, "--out", tmp_path / "out")
    said = capsys.readouterr().err if end.value.code == 2 else end.value.code
    assert re.search(re.escape(message), said) and len(said.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_nothing_that_exists_is_overwritten_and_nothing_is_drawn_before_that_is_known(files, tmp_path, monkeypatch):
    monkeypatch.setattr(stylegan2.Synthesis, "forward", lambda *_, **__: pytest.fail("an image was drawn"))
    made = {"seed0002.png": ("--seeds", "0-3"), "grid.png": ("--grid",), "mix.png": ("--mix", 0, 1), "a.gif": ("--video", "a.gif")}
    for name, words in made.items():
        (tmp_path / name).write_text("mine")
        with pytest.raises(SystemExit, match=f"{name} exists already"):
            command(files / "stylegan2.safetensors", *words, "--out", tmp_path)
        assert (tmp_path / name).read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
        (tmp_path / name).unlink()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SystemExit, match="file is not a folder"):
        command(files / "stylegan2.safetensors", "--out", tmp_path / "file")


def stopping_after(count, monkeypatch):
    made = iter(range(count))
    to_pil = images.to_pil

    def stopped(image):
        if next(made, None) is None:
            raise KeyboardInterrupt
        return to_pil(image)

    monkeypatch.setattr(generate, "to_pil", stopped)
    monkeypatch.setattr(film, "to_pil", stopped)


def test_after_ctrl_c_whole_pictures_stay_and_the_message_says_where_to_go_on(files, tmp_path, monkeypatch, capsys):
    stopping_after(2, monkeypatch)
    with pytest.raises(SystemExit) as end:
        command(files / "stylegan2.safetensors", "--seeds", "10-13", "--out", tmp_path)
    assert end.value.code == 130 and "2 of 4 pictures are kept" in (said := capsys.readouterr().err)
    assert "go on from seed 12" in said and sorted(path.name for path in tmp_path.iterdir()) == ["seed0010.png", "seed0011.png"]
    with pytest.raises(SystemExit):
        command(files / "stylegan2.safetensors", "--video", "a.gif", "--out", tmp_path)
    assert "nothing is kept" in capsys.readouterr().err and not (tmp_path / "a.gif").exists()


def test_an_mp4_without_its_package_names_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(ValueError, match="pip install imageio-ffmpeg.*name a .webp or a .gif"):
        film.check("a.mp4")


def test_images_that_are_not_finite_are_refused(files):
    G = zoo.load(files / "stylegan2.safetensors")
    with pytest.raises(ValueError, match="gives NaN or infinity"):
        list(generate.images(G, torch.full([1, 6, 8], float("nan"))))


def test_the_help_shows_every_option_with_its_default():
    text = " ".join(generate.parser_of().format_help().split())
    for action in generate.parser_of()._actions:
        assert action.help and (action.default in (None, False, "==SUPPRESS==") or f"default: {action.default})" in text)
