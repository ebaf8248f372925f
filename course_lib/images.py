"""Pictures: read from files as people see them, found in a folder or a zip, checked where they enter a network, converted to and
from bytes, and laid out in grids."""
import contextlib
import io
import math
import os
import zipfile
from collections import Counter
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError, features

from . import files

SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".ppm", ".pgm",
            ".pbm", ".pnm", ".pfm", ".tga", ".jp2", ".j2k", ".avif", ".heic", ".heif", ".hif", ".jxl")
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
HIDDEN = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")     # what systems keep beside people's files; names with a dot are hidden too
RUN = ("samples", "checkpoints", "snapshots", "curves.png", "reals.png", "samples.webp")        # what training writes
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
LIMIT = 100         # trained generators of ours stay within ±2 at ψ = 1 and ±6 at ψ = 2; untrained ones reach tens


def read(path):
    """A picture as a viewer shows it, an RGB PIL image: upright, in sRGB, on white where transparent, the first of its frames.

    path: of a file, or a zipfile.Path. Greys of 16 or 32 bits are scaled to 8. ValueError with the file's name if it is no picture,
    damaged or too large to be one.
    """
    try:
        with _open(path) as image:
            image.load()                            # first, for a PNG's orientation may follow its pixels
            return _as_seen(image)
    except Exception as error:                      # decoders raise whatever a damaged file makes of them
        reason, named = getattr(error, "strerror", None) or error, Path(str(path)).suffix.lower() in SUFFIXES
        if isinstance(error, UnidentifiedImageError) or isinstance(error, OSError) and reason is error and not named:
            reason = "no picture in a format that is known here, or damaged"
        raise ValueError(f"{path} cannot be read: {reason}") from None


def _open(path):
    zipped = isinstance(path, zipfile.Path)
    try:
        return Image.open(path.open("rb") if zipped else path)
    except UnidentifiedImageError:
        with path.open("rb") if zipped else open(path, "rb") as file:
            head = file.read(12)
        if head[4:8] == b"ftyp" and head[8:] in HEIC:
            try:
                import pillow_heif
            except ImportError:
                raise ValueError("a HEIC picture needs a package of its own: pip install pillow-heif, or save it as JPEG") from None
            pillow_heif.register_heif_opener()
            return Image.open(path.open("rb") if zipped else path)
        if head[4:12] in (b"ftypavif", b"ftypavis") and not features.check("avif"):
            raise ValueError("for AVIF pictures this Pillow is too old: pip install --upgrade pillow, or save it as JPEG") from None
        if head[:2] == b"\xff\x0a" or head[4:8] == b"JXL ":
            raise ValueError("Pillow does not read JPEG XL; save it as PNG or JPEG") from None
        raise


def _as_seen(image):
    upright = image
    with contextlib.suppress(Exception):            # a damaged EXIF block turns nothing
        upright = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    if upright.mode[0] in "IF":
        upright = _eight_bit(upright, image)
    elif upright.mode in ("P", "PA", "La", "RGBa") or "transparency" in image.info:
        upright = upright.convert("RGBA")
    alpha = upright.getchannel("A") if "A" in upright.getbands() and upright.mode != "LAB" else None
    colour = upright.convert({"LA": "L", "L": "L", "1": "L", "CMYK": "CMYK", "LAB": "LAB"}.get(upright.mode, "RGB"))
    colour = _in_srgb(colour, profile)
    if alpha is not None:
        white = Image.new("RGB", colour.size, "white")
        white.paste(colour, mask=alpha)
        return white
    return colour


def _eight_bit(image, file):
    """Grey of 16 or 32 bits as 8. 16 bits count from 0 to 65535, whatever the picture holds. What 32 bits mean is not said in a
    file: 0 … 1 (floats), 0 … 255 or 0 … 65535, the first that holds the values (99 % of floats), else from the smallest to the
    largest."""
    values, tags, clear = np.asarray(image).astype(np.float64), getattr(file, "tag_v2", {}), file.info.get("transparency")
    values[~np.isfinite(values)] = 0
    if image.mode.startswith("I;16") or image.mode == "I" and file.format in ("PNG", "PPM"):
        low, high = 0, 4095 if tags.get(258) == (12,) else 65535
    else:
        least, most = (values.min(), values.max()) if image.mode == "I" else np.percentile(values, (1, 99)) / 1.1
        usual = [top for top in ((255, 65535) if image.mode == "I" else (1, 255)) if most <= top and least > -0.1 * most]
        low, high = (0, usual[0]) if usual else (values.min(), values.max())
    grey = ((values - low) / max(high - low, 1e-9)).clip(0, 1)
    if tags.get(262) == 0:                          # TIFF: 0 is white
        grey = 1 - grey
    grey = Image.fromarray((grey * 255).round().astype(np.uint8))
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _in_srgb(image, profile):
    """Colours by their profile; one that is damaged, or belongs to another kind of picture, is left aside."""
    if profile or image.mode == "LAB":
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
            return ImageCms.applyTransform(image, _transform(profile if image.mode != "LAB" else None, image.mode))
    return image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile, mode):
    source = ImageCms.getOpenProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


class Pictures(NamedTuple):
    """What a folder or a zip holds: its pictures, sorted by their names under it, how many of everything else, {what: number}, and
    the names."""
    files: list
    left_out: dict
    names: list


def find(folder):
    """The Pictures of a folder and all folders in it, linked ones too, each file once; or of a zip.

    A picture is a file with one of SUFFIXES, in capitals or not. Left out are hidden files and folders, and what training wrote: a
    folder that holds a run, or, of `folder` itself, the run's samples, checkpoints, snapshots and pictures.
    """
    folder, left_out, found, seen = Path(folder), Counter(), [], set()
    if not folder.is_dir():
        if not folder.exists():
            raise FileNotFoundError(f'there is no folder "{folder}"')
        if folder.suffix.lower() == ".zip" or zipfile.is_zipfile(folder):
            return _find_in_zip(folder)
        archive = folder.suffix.lower() in ARCHIVES
        raise ValueError(f"{folder} is {'an archive; unpack it' if archive else 'a file'}; pass a folder or a zip of pictures")
    todo = [folder]
    while todo:
        place = todo.pop()
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError:
            if place == folder:
                raise
            left_out["folder that cannot be opened"] += 1
            continue
        names = {entry.name for entry in entries}
        trained = "settings.json" in names and bool(names & {"log.jsonl", "run.json"})
        if trained and place != folder:
            left_out["folder of a training run"] += 1
            continue
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1].lower()
            itself = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real, entry.name)
            if entry.name.startswith(".") or entry.name in HIDDEN:
                left_out["hidden"] += 1
            elif trained and entry.name in RUN:
                left_out[f"{'folder' if entry.is_dir() else 'picture'} of a training run"] += 1
            elif entry.is_dir():
                todo.append(Path(entry.path))
            elif not entry.is_file():
                left_out["broken link" if entry.is_symlink() else "special file"] += 1
            elif suffix not in SUFFIXES:
                left_out[_kind(suffix)] += 1
            elif itself in seen:
                left_out["linked twice"] += 1
            else:
                seen.add(itself)
                found.append(Path(entry.path))
    return _sorted({path.relative_to(folder).as_posix(): path for path in found}, left_out)


def _find_in_zip(path):
    """The Pictures of a zip, as zipfile.Paths; a folder that holds everything counts as the top, as if it had been unpacked."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"{path} is no zip, or a damaged one ({error})") from None
    found, left_out = {}, Counter()
    for name in dict.fromkeys(archive.namelist()):
        suffix = os.path.splitext(name)[1].lower()
        if name.endswith("/"):
            continue
        if any(part.startswith(".") or part in HIDDEN for part in name.split("/")):
            left_out["hidden"] += 1
        elif suffix not in SUFFIXES:
            left_out[_kind(suffix)] += 1
        else:
            found[name] = zipfile.Path(archive, name)
    top = len(os.path.commonprefix([name.split("/")[:-1] for name in found]))
    return _sorted({"/".join(name.split("/")[top:]): file for name, file in found.items()}, left_out)


def _sorted(found, left_out):
    return Pictures([found[name] for name in sorted(found)], dict(sorted(left_out.items())), sorted(found))


def _kind(suffix):
    return f"{suffix or 'without suffix'}{' (unpack it)' if suffix in ARCHIVES else ''}"


def described(left_out):
    """"3 hidden, 2 .txt" of what `find` left out; empty if nothing was."""
    return ", ".join(f"{number} {what}" for what, number in left_out.items())


_unchecked = ContextVar("unchecked", default=False)


@contextlib.contextmanager
def unchecked():
    """Within this, or within a function decorated with it, `check` looks at no values: for images that truly have no dark pixel
    anywhere, and for those of generators, however bad."""
    token = _unchecked.set(True)
    try:
        yield
    finally:
        _unchecked.reset(token)


def check(images, channels=(3,), name="images", shown=False):
    """Refuse images that are not floats [N, C, H, W] in about [-1, 1], with the formula that converts them; returns the others.

    Generators exceed [-1, 1], untrained ones far: values may reach ±100. What tells other scales is that a batch has nothing darker
    than 0, the middle grey; batches of one colour pass, and `unchecked` lets others pass. shown: they are only shown, so that all
    bright or far too large ones may pass. Values are looked at where images enter, not in the course of a computation: not if they
    come with a gradient, nor while a step is compiled or captured. Raises ValueError.
    """
    wanted = f"[N, {' or '.join(map(str, channels))}, H, W] in [-1, 1]"
    if not isinstance(images, torch.Tensor):
        raise ValueError(f"{name} are of type {type(images).__name__}; pass a tensor {wanted}")
    shape = list(images.shape)
    if images.ndim != 4 or shape[1] not in channels:
        hint = ("; images.permute(0, 3, 1, 2) puts the channels there" if len(shape) == 4 and shape[3] in channels else
                "; images[None] makes a batch of one" if len(shape) == 3 and shape[0] in channels else
                "; images.expand(-1, 3, -1, -1) makes three channels of a grey one" if len(shape) == 4 and shape[1] == 1 else "")
        raise ValueError(f"{name} have shape {shape}; pass {wanted}{hint}")
    if not images.is_floating_point():
        raise ValueError(f"{name} are {str(images.dtype).removeprefix('torch.')}; pass floats in [-1, 1]: "
                         "images.float() / 127.5 - 1")
    computed = images.grad_fn is not None or images.is_meta or torch.compiler.is_compiling() or (
        images.is_cuda and torch.cuda.is_current_stream_capturing())
    if computed or _unchecked.get() or not images.numel():
        return images
    low, high = torch.stack(images.detach().aminmax()).tolist()
    if not math.isfinite(low + high):
        if shown:
            return images
        wrong = (~images.detach().flatten(1).isfinite().all(dim=1)).nonzero()[:, 0].tolist()
        raise ValueError(f"{name} hold NaN or infinity in images {wrong[:10]}{' and others' * (len(wrong) > 10)}")
    bytes_or_words = "images / 127.5 - 1" if high < 256 else "images / 32767.5 - 1"
    if max(-low, high) > LIMIT and (low >= 0 or not shown):
        scale = bytes_or_words if low > -high / 4 else "images / 127.5 if they count from -127.5 to 127.5"
        raise ValueError(f"{name} lie between {low:.3g} and {high:.3g}, not about [-1, 1]; pass {scale}")
    if high - low > 0.1 and low >= (-0.1 * high if high < 1.5 else 0) and not shown:        # resampling leads a little below 0
        scale = "images * 2 - 1" if high < 1.5 else bytes_or_words
        raise ValueError(f"{name} lie between {low:.3g} and {high:.3g}, not about [-1, 1]; pass {scale}. If they really are as "
                         "bright as that, make this call within course_lib.images.unchecked()")
    return images


def in_colour(images):
    """Grey images [N, 1, H, W] with their grey as red, green and blue, [N, 3, H, W]; all else as it is."""
    grey = isinstance(images, torch.Tensor) and images.ndim == 4 and images.shape[1] == 1
    return images.expand(-1, 3, -1, -1) if grey else images


def to_uint8(images):
    """Images in [-1, 1] → uint8: (x + 1) · 127.5, rounded to the nearest whole number (halves to the even one). What lies outside
    [-1, 1] is clipped."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def from_uint8(pixels):
    """uint8 → float32 in [-1, 1]: x / 127.5 − 1, which `to_uint8` undoes exactly."""
    return pixels.float() / 127.5 - 1


def quantized(images):
    """Images [N, 1 or 3, H, W] in [-1, 1] as a file of 8 bits gives them back: clipped, at 256 levels, float32 in [-1, 1].

    Generated images and portraits are both quantized before they are compared. Raises ValueError as `check`.
    """
    return from_uint8(to_uint8(check(images, (1, 3))))


def grid(images, columns, gap=0):
    """Images [N, C, H, W] row by row, `columns` in a row, `gap` pixels apart.

    → [C, rows · (H + gap) − gap, columns · (W + gap) − gap]. Floats in [-1, 1] or uint8; gaps, and what is left of the last
    row, are white.
    """
    n, c, height, width = images.shape
    rows, white = -(-n // columns), 1 if images.is_floating_point() else 255
    cells = images.new_full([rows * columns, c, height + gap, width + gap], white)
    cells[:n, :, :height, :width] = images
    sheet = cells.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
    return sheet[:, :sheet.shape[1] - gap, :sheet.shape[2] - gap]


def to_pil(image):
    """An image [3, H, W], uint8 or in [-1, 1] (`to_uint8`), as a PIL image."""
    pixels = image if image.dtype == torch.uint8 else to_uint8(image)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def save_grid(path, images, columns, replace=False):
    """Write images [N, 1 or 3, H, W] in [-1, 1] as a `grid`, in the format of the path's suffix. Raises OSError where a file lies
    at `path`, unless `replace`."""
    files.write_image(path, to_pil(grid(in_colour(images), columns)), replace, quality=95)
