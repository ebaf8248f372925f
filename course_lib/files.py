"""Writing files: whole or not at all, with the permissions that the umask gives, and over nothing that exists unless asked to."""
import json
import os
import re
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from PIL import Image
from safetensors import SafetensorError

UNWRITTEN = "PytorchStreamWriter failed", "unexpected pos"      # how PyTorch says it


def try_output(path, replace=False):
    """Raise OSError, before work begins, unless a file can be written at `path`. It leaves no file there."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it")
    if not replace:
        _refuse_existing(path)
    try_folder(path.parent)


def try_folder(path):
    """Raise OSError, before work begins, unless the folder `path` exists or can be made, and files can be written in it."""
    path = Path(path).absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists() or folder.is_symlink())
    if not there.is_dir():
        raise NotADirectoryError(f"{path} cannot be written to: {there} is not a folder")
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise OSError(f"{path} cannot be written to: {error.strerror}") from None


@contextmanager
def writing(path, replace=False):
    """A context manager for writing `path`: the block gets a temporary path beside it and writes there; the whole file then takes
    its place, with the permissions that the umask gives. If anything fails, nothing stays.

    replace: whether a file at `path` may be replaced; commands do so only with files of their own. Raises OSError, also where
    safetensors or PyTorch raise errors of their own.
    """
    path = Path(path)
    if not replace:
        _refuse_existing(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        partial.chmod(mode)
        if not replace:
            _refuse_existing(path)
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        if isinstance(error, FileExistsError) and error.errno is None:
            raise
        reason = getattr(error, "strerror", None) or re.sub(r".*: (.*) \(os error \d+\)", r"\1", str(error))
        raise OSError(f"{path} could not be written: {reason}") from error
    except RuntimeError as error:
        if not says(error, UNWRITTEN):
            raise
        raise OSError(f"{path} could not be written: {said(error)}") from error
    finally:
        with suppress(OSError):
            if partial.exists():
                partial.unlink()


def _refuse_existing(path):
    if path.exists() or path.is_symlink():
        raise FileExistsError(f"{path} exists already and is not overwritten; choose another name, or remove it")


def write_text(path, text, replace=False):
    """Write text in UTF-8 (`writing`)."""
    with writing(path, replace) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path, value, replace=False):
    """Write a value as JSON (`writing`)."""
    write_text(path, json.dumps(value, indent=1) + "\n", replace)


@contextmanager
def held(folder):
    """Hold a folder, which is made where there is none, for one process: FileExistsError where another holds it. The system lets go
    of it when the process ends, however that is."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    lock = FileLock(Path(folder) / ".held", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FileExistsError(f"another process is writing into {folder}; wait until it has ended, or choose another "
                              "folder") from None
    try:
        yield
    finally:
        lock.release()


def own_json(path, maker):
    """The JSON result that an earlier call of the command `maker` left at `path`, or {}. Raises OSError for anything else that lies
    there, and where nothing can be written."""
    path = Path(path)
    try_output(path, replace=True)
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        mine = found["command"].startswith(maker)
    except (ValueError, KeyError, TypeError, AttributeError):
        mine = False
    if not mine:
        raise FileExistsError(f"{path} is not a result of {maker}, and is not overwritten; choose another name")
    return found


def write_image(path, image, replace=False, **options):
    """Write a PIL image in the format of the path's suffix (`writing`); options: of `Image.save`. Raises ValueError for a suffix
    that is no format of pictures."""
    check_image(path)
    with writing(path, replace) as partial:
        image.save(partial, format=image_formats()[Path(path).suffix.lower()], **options)


def check_image(path):
    """Raise ValueError for a path whose suffix is no format of pictures."""
    suffix = Path(path).suffix.lower()
    if not suffix:
        raise ValueError(f"{path} has no ending; name {path}.png")
    if suffix not in image_formats():
        raise ValueError(f'{path}: "{suffix}" is no format of pictures; take .png')


def image_formats():
    """Suffix → name of every format in which pictures can be written."""
    return {suffix: name for suffix, name in Image.registered_extensions().items() if name in Image.SAVE}


def said(error):
    """The message of an error in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def says(error, parts):
    """Whether one of the parts stands in the message of an error."""
    return any(part in str(error) for part in parts)
