"""Pictures as people see them, what counts as a picture of a folder, and images that are refused where they enter."""
import os
import struct
import zlib

import numpy as np
import PIL
import pytest
import torch
from PIL import Image, ImageCms
from torchvision.utils import make_grid

from course_lib import clip, images, inversion, plots, zoo
from course_lib.metrics import generators, perceptual, ssim
from course_lib.networks import classifiers, stylegan2
from course_lib.training import data

RAMP = np.tile(np.linspace(0, 1, 16), (16, 1))                # black left, white right
GREY = Image.fromarray((RAMP * 255).round().astype(np.uint8))


def shown(path):
    """The pixels [H, W, 3] that are read, as integers."""
    image = images.read(path)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def near(pixels, wanted, tolerance=3):
    return np.abs(pixels - np.asarray(wanted)).max() <= tolerance


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
@pytest.mark.parametrize("orientation,corner", [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (4, (-1, 0)), (6, (0, -1)), (8, (-1, 0))])
def test_pictures_stand_upright_by_their_exif_tag(suffix, orientation, corner, tmp_path):
    stored, exif = np.zeros((32, 48, 3), np.uint8), Image.Exif()
    stored[:16, :16] = 255                                      # the white corner of the stored pixels
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / f"a.{suffix}", exif=exif)
    pixels = shown(tmp_path / f"a.{suffix}")
    assert pixels.shape == ((48, 32, 3) if orientation > 4 else (32, 48, 3))
    corners = {(y, x): pixels[y, x].mean() for y in (0, -1) for x in (0, -1)}
    assert max(corners, key=corners.get) == corner and corners[corner] > 240 and sorted(corners.values())[-2] < 15


@pytest.mark.parametrize("name,values", [
    ("a.png", (RAMP * 65535).astype(np.uint16)), ("a.pgm", (RAMP * 65535).astype(np.uint16)),
    ("a.tif", (RAMP * 65535).astype(np.uint16)), ("big.tif", (RAMP * 65535).astype(">u2")),
    ("a.jp2", (RAMP * 65535).astype(np.uint16)), ("int8.tif", (RAMP * 255).astype(np.int32)),
    ("int16.tif", (RAMP * 65535).astype(np.int32)), ("int32.tif", (RAMP * (2 ** 31 - 1)).astype(np.int32)),
    ("unit.tif", RAMP.astype(np.float32)), ("bytes.tif", (RAMP * 255).astype(np.float32)),
    ("words.tif", (RAMP * 65535).astype(np.float32)), ("signed.tif", (2 * RAMP - 1).astype(np.float32)),
    ("unit.pfm", RAMP.astype(np.float32)), ("holes.tif", np.where(RAMP == 0, np.nan, RAMP).astype(np.float32))])
def test_greys_of_16_and_32_bits_keep_their_shades(name, values, tmp_path):
    Image.fromarray(values).save(tmp_path / name)
    assert near(shown(tmp_path / name), 255 * RAMP[..., None])


def test_a_dark_picture_of_16_bits_stays_dark(tmp_path):
    Image.fromarray(np.full((4, 4), 6553, np.uint16)).save(tmp_path / "a.png")
    assert near(shown(tmp_path / "a.png"), 25.5)


def test_transparency_lies_on_white_in_every_mode(tmp_path):
    half = 255 - (255 - 255 * RAMP[..., None]) * 128 / 255
    for name, image, wanted, options in (
            ("rgba.png", GREY.convert("RGB"), half, {}), ("la.png", GREY.copy(), half, {}),
            ("rgba.webp", GREY.convert("RGB"), half, {"lossless": True}),
            ("rgba.tga", GREY.convert("RGB"), half, {}), ("la.tif", GREY.copy(), half, {})):
        image.putalpha(128)
        image.save(tmp_path / name, **options)
        assert near(shown(tmp_path / name), wanted), name
    clear = np.where(RAMP == 0, 255, 255 * RAMP)[..., None]
    GREY.convert("RGB").save(tmp_path / "rgb.png", transparency=(0, 0, 0))
    GREY.save(tmp_path / "l.png", transparency=0)
    GREY.quantize(16).save(tmp_path / "p.png", transparency=bytes([0] * 16))
    Image.fromarray((RAMP * 65535).astype(np.uint16)).save(tmp_path / "i16.png", transparency=0)
    assert all(near(shown(tmp_path / f"{name}.png"), clear) for name in ("rgb", "l", "i16"))
    assert near(shown(tmp_path / "p.png"), 255)


def test_other_modes_and_formats_show_the_same_picture(tmp_path):
    for name, mode in (("a.tif", "CMYK"), ("a.jpg", "CMYK"), ("y.tif", "YCbCr"), ("a.jfif", "L"), ("a.jpe", "L"), ("a.gif", "L"),
                       ("a.bmp", "L"), ("a.ppm", "RGB"), ("a.tga", "L"), ("a.jp2", "RGB"), ("a.avif", "RGB"), ("a.dib", "RGB"),
                       ("a.webp", "RGB")):
        packed = mode == "YCbCr" and PIL.__version__ < "13"             # only newer ones read such a TIFF that is not compressed
        GREY.convert("RGB").convert(mode).save(tmp_path / name, **{"compression": "tiff_deflate"} if packed else {})
        assert near(shown(tmp_path / name), 255 * RAMP[..., None], 12), name
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    ImageCms.profileToProfile(GREY.convert("RGB"), *profiles, outputMode="LAB").save(tmp_path / "lab.tif")
    assert near(shown(tmp_path / "lab.tif"), 255 * RAMP[..., None])
    GREY.convert("1", dither=0).save(tmp_path / "one.png")
    assert near(shown(tmp_path / "one.png"), 255 * (RAMP[..., None] > 0.5))


def test_the_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert near(shown(tmp_path / name), (255, 0, 0), 5), name


def test_colours_follow_their_profile_and_a_damaged_one_is_left_aside(tmp_path):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    xyz = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in (("good", srgb), ("cut", srgb[:100]), ("noise", b"no profile"), ("of another kind", lab), ("xyz", xyz)):
        GREY.convert("RGB").save(tmp_path / "a.png", icc_profile=profile)
        assert name == "xyz" or near(shown(tmp_path / "a.png"), 255 * RAMP[..., None]), name
    swapped = bytearray(srgb)                                   # a profile whose red primary is green's, and the other way round
    tags = {bytes(swapped[i:i + 4]): i for i in range(132, 132 + 12 * struct.unpack(">I", srgb[128:132])[0], 12)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    swapped[red:red + 4], swapped[green:green + 4] = b"gXYZ", b"rXYZ"
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png", icc_profile=bytes(swapped))
    assert near(shown(tmp_path / "a.png"), (0, 255, 0))
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    image.save(tmp_path / "a.png", icc_profile=bytes(swapped))
    assert near(shown(tmp_path / "a.png"), 255)


def test_what_is_no_whole_picture_is_refused_with_its_name(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    for suffix in ("png", "jpg", "webp", "bmp", "tif", "gif", "ppm", "jp2", "tga", "avif"):
        path = tmp_path / f"a.{suffix}"
        noise.save(path)
        path.write_bytes(path.read_bytes()[:len(path.read_bytes()) // 2])
        with pytest.raises(ValueError, match=f"a.{suffix} cannot be read"):
            images.read(path)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    bomb = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0))
    bomb += chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    for name, content, message in (("empty.png", b"", "no picture in a format"), ("page.jpg", b"<html>", "no picture in a format"),
                                   ("bomb.png", b"\x89PNG\r\n\x1a\n" + bomb, "decompression bomb"),
                                   ("phone.jpg", b"\0\0\0\x18ftypheic" + bytes(99), "pip install pillow-heif, or save it as JPEG")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} cannot be read: .*{message}"):
            images.read(tmp_path / name)
    with pytest.raises(ValueError, match="none.png cannot be read: No such file"):
        images.read(tmp_path / "none.png")


# Folders

@pytest.fixture
def folder(tmp_path):
    """Two kinds of pictures in two folders, and what lies beside pictures."""
    top = tmp_path / "pictures"
    for value, kind in ((0, "cats"), (255, "dogs")):
        (top / kind).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (8, 8), value).save(top / kind / f"{i:02d}.{('png', 'JPG', 'tif', 'gif', 'jfif')[i % 5]}",
                                               format=None if i % 5 != 4 else "jpeg")
    for name in (".hidden.png", ".thumbnails/a.png", "__MACOSX/a.png", "run/samples/0001.png", "cats/readme.txt", "more.zip",
                 "noname"):
        (top / name).parent.mkdir(exist_ok=True, parents=True)
        Image.new("L", (8, 8)).save(top / name, format="png")
    for name in ("settings.json", "log.jsonl"):
        (top / "run" / name).write_text("{}")
    return top


def test_a_folders_pictures_are_those_that_people_put_there(folder, tmp_path):
    found = images.find(folder)
    assert len(found.files) == 20 and found.files == sorted(found.files)
    assert all(path.parent.name in ("cats", "dogs") for path in found.files)
    assert found.left_out == {".txt": 1, ".zip (unpack it)": 1, "folder of a training run": 1, "hidden": 3, "without suffix": 1}
    assert str(data.select(folder, 12, 3)).endswith(
        "pictures, drawn by seed 3 (--data-size); left out: 1 .txt, 1 .zip (unpack it), 1 folder of a training run, 3 hidden, "
        "1 without suffix")
    assert len(images.find(folder / "run").files) == 0 and len(images.find(folder / "run" / "samples").files) == 1
    (folder / "settings.json").write_text("{}")
    (folder / "run.json").write_text("{}")                     # --out is --data: its own pictures stay, the samples do not count
    (folder / "samples").mkdir()
    Image.new("L", (8, 8)).save(folder / "samples" / "a.png")
    assert len(images.find(folder).files) == 20


def test_linked_folders_are_followed_once_and_loops_end(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.new("L", (8, 8)).save(elsewhere / "one.png")
    for link, target in (("linked", elsewhere), ("again", elsewhere), ("cats/up", folder), ("two.png", elsewhere / "one.png"),
                         ("lost.png", elsewhere / "none.png")):
        os.symlink(target, folder / link)
    found = images.find(folder)
    assert len(found.files) == 21 and found.left_out["broken link"] == 1 and found.left_out["linked twice"] == 1


@pytest.mark.parametrize("name,message", [("none", "there is no folder"), ("a.tar", "is an archive; unpack it"),
                                          ("a.zip", "no zip, or a damaged one"), ("a.png", "is a file; pass a folder")])
def test_what_is_no_folder_is_named(name, message, tmp_path):
    for file in ("a.tar", "a.zip", "a.png"):
        (tmp_path / file).write_bytes(b"")
    with pytest.raises((ValueError, OSError), match=message):
        data.load(tmp_path / name, 8, 10, 0, "cpu")


def test_a_part_of_a_folder_is_drawn_by_seed_and_keeps_its_pictures_when_others_come(folder):
    share = [(data.load(folder, 8, 10, seed, "cpu").float().mean(dim=(1, 2, 3)) > 128).float().mean().item() for seed in range(4)]
    assert all(0.1 <= x <= 0.9 for x in share) and len(set(share)) > 1
    before = data.select(folder, 10, 0)
    Image.new("L", (8, 8)).save(folder / "new.png")
    assert len(set(before.files) - set(data.select(folder, 10, 0).files)) <= 1
    assert data.select(folder, 10, 0) == data.select(folder, 10, 0) and (before.used, before.found) == (10, 20)
    assert torch.equal(data.load(folder, 8, 10, 0, "cpu"), data.load(data.select(folder, 10, 0), 8, 10, 0, "cpu"))


def test_all_bad_pictures_are_named_at_once(folder):
    for name in ("cats/bad.png", "dogs/worse.webp"):
        (folder / name).write_bytes(b"nothing")
    Image.new("L", (64, 64)).save(folder / "half.bmp")
    (folder / "half.bmp").write_bytes((folder / "half.bmp").read_bytes()[:3000])
    with pytest.raises(ValueError, match="3 of 23 pictures cannot be read; repair or remove them: .*bad.png, .*worse.webp .no "
                                         "picture.*half.bmp .image file is truncated"):
        data.load(folder, 8, 100, 0, "cpu")


def test_images_that_do_not_fit_are_refused_before_they_are_made_with_the_number_that_fits(folder, monkeypatch):
    monkeypatch.setattr(data, "free_memory", lambda device: 2 ** 30)
    with pytest.raises(ValueError, match="200,000 images of 256 px take 36.6 GiB, and cpu has 1.0 GiB free.*; --data-size 4k fits"):
        data.load("portraits", 256, 200_000, 0, "cpu")
    data.check_size(4000, 256, "cpu")
    assert len(data.load(folder, 16, 200_000, 0, "cpu")) == 20      # what counts is what the folder holds


# Tensors

def test_bytes_survive_the_way_to_floats_and_back_and_floats_go_to_the_nearest_byte():
    pixels = torch.arange(256, dtype=torch.uint8)
    assert images.from_uint8(pixels).aminmax() == (-1, 1) and torch.equal(images.to_uint8(images.from_uint8(pixels)), pixels)
    values = torch.linspace(-2, 2, 9973)
    assert (images.to_uint8(values) - (values.clamp(-1, 1) + 1) * 127.5).abs().max() <= 0.5
    assert torch.equal(images.quantized(values.expand(1, 1, 1, -1)), images.from_uint8(images.to_uint8(values.expand(1, 1, 1, -1))))


@pytest.mark.parametrize("n, columns, gap", [(6, 3, 0), (6, 3, 2), (5, 3, 2), (7, 2, 0)])
def test_a_grid_is_torchvisions_without_its_border(n, columns, gap):
    pictures = torch.rand(n, 3, 4, 5) * 2 - 1
    expected = make_grid(pictures, columns, padding=gap, pad_value=1)
    expected = expected[:, gap:expected.shape[1] - gap, gap:expected.shape[2] - gap]
    assert torch.equal(images.grid(pictures, columns, gap), expected)
    as_bytes = images.grid(images.to_uint8(pictures), columns, gap)
    assert torch.equal(as_bytes, images.to_uint8(expected))


def test_a_row_that_is_not_full_is_white_to_its_end(tmp_path):
    images.save_grid(tmp_path / "a.png", -torch.ones(1, 1, 4, 4), columns=3)
    pixels = np.asarray(Image.open(tmp_path / "a.png"))
    assert pixels.shape == (4, 12, 3) and (pixels[:, :4] == 0).all() and (pixels[:, 4:] == 255).all()


@pytest.fixture(scope="module")
def people():
    return zoo.load("stylegan2-portraits-64")(torch.randn(4, 256, generator=torch.Generator().manual_seed(0)), noise="const")


WRONG = [("uint8", lambda x: ((x.clamp(-1, 1) + 1) * 127.5).byte(), r"are uint8; .*images.float\(\) / 127.5 - 1"),
         ("float to 255", lambda x: (x.clamp(-1, 1) + 1) * 127.5, "lie between .* pass images / 127.5 - 1"),
         ("float to 1", lambda x: (x.clamp(-1, 1) + 1) / 2, r"lie between .* pass images \* 2 - 1.*unchecked"),
         ("bfloat16 to 1", lambda x: ((x.clamp(-1, 1) + 1) / 2).bfloat16(), r"pass images \* 2 - 1"),
         ("to 1, resampled", lambda x: (x.clamp(-1, 1) + 1) / 2 - 0.04, r"pass images \* 2 - 1"),
         ("float to 65535", lambda x: (x.clamp(-1, 1) + 1) * 32767.5, "pass images / 32767.5 - 1"),
         ("around 0", lambda x: x.clamp(-1, 1) * 127.5, "pass images / 127.5 if"),
         ("NaN", lambda x: torch.cat([x[:1], x[1:] * float("nan")]), r"NaN or infinity in images \[1, 2, 3\]"),
         ("channels last", lambda x: x.permute(0, 2, 3, 1), r"images.permute\(0, 3, 1, 2\)"),
         ("one image", lambda x: x[0], r"images\[None\]"), ("numpy", lambda x: x.numpy(), "of type ndarray")]


@pytest.mark.parametrize("change,message", [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_images_of_another_range_or_type_are_refused_with_the_formula_that_converts_them(people, change, message):
    assert images.check(people) is people
    with pytest.raises(ValueError, match=message):
        images.check(change(people))


def test_every_place_where_images_enter_has_the_check(people):
    identity, judge, oracle = (zoo.load(f"{name}-portraits-64") for name in ("identity", "judge", "oracle"))
    G = stylegan2.Generator(64, 8, 8, channel_base=64, channel_max=4, mapping_layers=1)
    clip_network, distance = clip.load("clip-portraits"), perceptual.oracle_distance(oracle)
    entries = [identity, judge, oracle, oracle.features, oracle.maps, clip_network.encode_images,
               lambda x: classifiers.predict(judge, x),
               lambda x: identity.same_person(x, people), lambda x: generators.frechet(x, oracle, samples=300),
               lambda x: generators.features(oracle, [x]), lambda x: distance(x, people), lambda x: distance(people, x),
               lambda x: ssim.ms_ssim(x, x), lambda x: inversion.project(G, x, distance, steps=1)]
    for i, entry in enumerate(entries):
        for name, change, message in WRONG[:3]:
            with pytest.raises(ValueError, match=message.replace("images", "(images|targets)").split(".*")[0]):
                print(i, name, entry(change(people)))
    for _, change, message in WRONG[:2]:                        # what is shown may be bright
        with pytest.raises(ValueError, match=message):
            plots.image_grid(change(people))
    for odd in ((people.clamp(-1, 1) + 1) / 2, people * 1e30, people * float("nan")):
        plots.image_grid(odd)


def test_what_may_be_meant_passes_the_check(people):
    outlier = people.clone()
    outlier[0, :, 9, 9] = 90
    for fine in (3 * people, outlier, -torch.ones(1, 3, 8, 8), torch.ones(2, 3, 8, 8), torch.zeros(1, 3, 8, 8),
                 torch.zeros(0, 3, 8, 8), people.double(), people.half(), 0.01 * people):
        images.check(fine)
    bright = people.clamp(0, 1)
    with images.unchecked():
        images.check(bright)
    with pytest.raises(ValueError, match="unchecked"):
        images.check(bright)
    weight = torch.ones(1, requires_grad=True)
    images.check(bright * weight)                               # in the course of a computation
    images.check(people[:, :1], channels=(1, 3))
    with pytest.raises(ValueError, match=r"expand\(-1, 3, -1, -1\)"):
        images.check(people[:, :1])


def test_a_collapsed_generator_is_measured_all_the_same():
    class White(torch.nn.Linear):
        resolution, z_dim, dataset = 8, 8, "portraits"

        def forward(self, z, psi=1):
            return torch.rand(len(z), 3, 8, 8)

        def features(self, x):
            return images.check(x).mean(dim=(2, 3))

    white = White(1, 1)
    assert generators.frechet(white, white, samples=16) > 0
    with pytest.raises(ValueError, match="unchecked"):
        white.features(white(torch.zeros(4, 8)))


def test_devices_that_are_not_there_are_named_where_a_network_is_loaded():
    for load in (zoo.load, clip.load):
        with pytest.raises(ValueError, match='"tpu" is no device; write cpu'):
            load("judge-portraits-64", device="tpu")
