"""Tensors from the records of a restricted reader: PyTorch's two file layouts, and numpy's arrays.

A storage arrives as a legacy torch.save stream (five pickles and raw data) inside a pickle, as such a stream on its own,
or as an entry of a zip file. All are read here, for `torch.load(weights_only=True)` still calls `bytearray` and
`torch.Tensor` with any size that a file names, and refuses the options that training scripts store.
"""
import io
import math
import mmap
import struct
import zipfile

import numpy as np
import torch

from .pickle_reader import FormatError, LongText, Record, parse

STORAGES = {f"torch {name}Storage": code for name, code in [
    ("Double", "<f8"), ("Float", "<f4"), ("Half", "<f2"), ("BFloat16", "<i2"), ("Long", "<i8"), ("Int", "<i4"), ("Short", "<i2"),
    ("Char", "i1"), ("Byte", "u1"), ("Bool", "?")]}
CODES = {"f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "b1"}
SCALAR, RECONSTRUCT, FROMBUFFER = ([f"numpy.{core}.{name}" for core in ("core", "_core")] for name in (
    "multiarray scalar", "multiarray _reconstruct", "numeric _frombuffer"))
ARRAYS = {"numpy dtype", "numpy ndarray", "_codecs encode", *SCALAR, *RECONSTRUCT, *FROMBUFFER}
REBUILD = {"torch._utils _rebuild_parameter", "torch._utils _rebuild_tensor_v2"}
OBJECTS = {*STORAGES, *REBUILD, *ARRAYS, "collections OrderedDict", "builtins set", "__builtin__ set", "argparse Namespace"}
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001        # of the legacy layout
MAGIC_START = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little")
DIRECTORY = 2 ** 20             # bytes of a zip file's directory: about 10,000 entries


def is_record(value, *names):
    return type(value) is Record and value.name in names


def as_bytes(value, limits):
    """Bytes, or the text that protocol 2 wraps them in, as a memoryview."""
    if is_record(value, "_codecs encode") and len(value.args) == 2 and value.args[1] == "latin1":
        text = value.args[0]
        if type(text) is LongText:
            limits.produce(len(text.view))
            text = str(text.view, "utf-8")
        if type(text) is str:
            limits.produce(len(text))
            return memoryview(text.encode("latin1"))
    if type(value) is not memoryview:
        raise FormatError("a tensor's data is not made of bytes")
    return value


def tensor(value, limits, storages=None):
    """A tensor, from the records of a parameter, a tensor or a numpy array; None stays None.

    storages: {key: bytes} where persistent ids lead to them; otherwise every storage brings its own stream.
    """
    limits.step()
    if is_record(value, "torch._utils _rebuild_parameter") and len(value.args) == 3:
        value = value.args[0]
    if not is_record(value, "torch._utils _rebuild_tensor_v2"):
        return torch.from_numpy(array(value, limits))
    if len(value.args) not in (6, 7):
        raise FormatError("a tensor is made from an unknown number of arguments")
    storage, offset, size, stride = value.args[:4]
    kind, data = _stored(storage, limits) if storages is None else _keyed(storage, storages)
    flat = np.frombuffer(data, STORAGES[kind])
    if len(size) != len(stride) or len(size) > 8 or any(
            type(n) is not int or not 0 <= n < 2 ** 40 for n in (offset, *size, *stride)):
        raise FormatError("a tensor's size or stride is no list of positive numbers")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if 0 in size or last >= len(flat):
        raise FormatError(f"a tensor of size {list(size)} does not fit its {len(flat):,} stored numbers")
    limits.produce(math.prod(size) * max(flat.itemsize, 4))
    strides = [step * flat.itemsize for step in stride]
    copy = np.lib.stride_tricks.as_strided(flat[offset:], size, strides).copy()
    return torch.from_numpy(copy).view(torch.bfloat16) if kind == "torch BFloat16Storage" else torch.from_numpy(copy)


def _stored(storage, limits):
    """Kind and bytes of a storage that `_load_from_bytes` was to read: a legacy stream, or a zip file, of one storage."""
    if not is_record(storage, "torch.storage _load_from_bytes") or len(storage.args) != 1:
        raise FormatError("a tensor has no storage")
    data = as_bytes(storage.args[0], limits)
    read = legacy_stream if data[:14] == MAGIC_START else zip_stream
    return _keyed(*read(data, STORAGES, limits))


def _keyed(storage, storages):
    """Kind and bytes behind the persistent id ("storage", kind, key, device, count, …)."""
    if not is_record(storage, "persistent id") or type(storage.args) is not tuple or len(storage.args) not in (5, 6):
        raise FormatError("a tensor has no storage")
    name, kind, key, _, count, *view = storage.args
    kind = getattr(kind, "name", None)
    if name != "storage" or kind not in STORAGES or type(key) is not str or key not in storages or view not in ([], [None]):
        raise FormatError("a tensor's storage is of an unknown kind, or its data is missing")
    data = storages[key]
    size = np.dtype(STORAGES[kind]).itemsize * count if type(count) is int else -1
    if not 0 <= size <= len(data):
        raise FormatError(f"a storage has {len(data):,} bytes and declares {size:,}")
    return kind, data[:size]


def legacy_stream(data, allowed, limits):
    """The object and {key: bytes} of a torch.save stream as it was before PyTorch 1.6."""
    at, values = 0, []
    for _ in range(5):
        value, at = parse(data, allowed, limits, at, persistent=True)
        values.append(value)
    magic, protocol, system, value, keys = values
    if magic != MAGIC or protocol != PROTOCOL or type(system) is not dict or system.get("little_endian") is not True:
        raise FormatError("a tensor stream in it is not one that PyTorch writes on a little-endian machine")
    kinds, storages = _kinds(value, limits), {}
    for key in keys:
        if type(key) is not str or key not in kinds or len(data) < at + 8:
            raise FormatError("a tensor stream in it ends before its data")
        size = struct.unpack("<q", data[at:at + 8])[0] * np.dtype(STORAGES[kinds[key]]).itemsize
        if not 0 <= size <= len(data) - at - 8:
            raise FormatError(f"a storage declares {size:,} bytes, and {len(data) - at - 8:,} are left")
        storages[key] = data[at + 8:at + 8 + size]
        at += 8 + size
    return value, storages


def _kinds(value, limits):
    """{key: kind} of all storages in a value, which may contain itself."""
    kinds, seen, todo = {}, set(), [value]
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        limits.step()
        if type(value) is dict:
            todo.extend(value.values())
        elif type(value) in (list, tuple):
            todo.extend(value)
        elif is_record(value, "persistent id") and type(value.args) is tuple and len(value.args) > 2:
            kind, key = getattr(value.args[1], "name", None), value.args[2]
            if kind in STORAGES and type(key) is str:
                kinds[key] = kind
        elif type(value) is Record:
            todo.extend((value.args, value.state))
    return kinds


def zip_stream(data, allowed, limits):
    """The object and {key: bytes} of a torch.save file since PyTorch 1.6, of which nothing is compressed."""
    size = directory_size(data)
    if size > DIRECTORY:
        raise FormatError(f"its zip directory has {size:,} bytes; that of a PyTorch file has at most {DIRECTORY:,}")
    limits.step(size // 10)
    try:
        if isinstance(data.obj, mmap.mmap) and len(data.obj) == len(data):
            entries = zipfile.ZipFile(data.obj).infolist()
        else:
            limits.produce(len(data))
            entries = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError) as error:
        raise FormatError(f"it is no complete zip file ({str(error)[:80]})") from None
    found = {}
    for entry in entries:
        limits.step()
        local = data[entry.header_offset:entry.header_offset + 30]
        if entry.compress_type != zipfile.ZIP_STORED or len(local) < 30 or local[:4] != b"PK\3\4":
            raise FormatError("a zip entry in it is compressed or damaged; PyTorch stores entries as they are")
        start = entry.header_offset + 30 + sum(struct.unpack("<HH", local[26:30]))
        if entry.file_size > len(data) - start:
            raise FormatError(f"a zip entry in it declares {entry.file_size:,} bytes, which are not there")
        found[entry.filename.partition("/")[2]] = data[start:start + entry.file_size]
    if "data.pkl" not in found or found.get("byteorder", b"little") != b"little":
        raise FormatError("it is a zip file, but none that PyTorch writes on a little-endian machine")
    value, _ = parse(found["data.pkl"], allowed, limits, persistent=True)
    return value, {name[5:]: view for name, view in found.items() if name.startswith("data/")}


def directory_size(data):
    """The bytes of a zip file's directory, from its last 22 bytes, or the 64-bit record before them (56 and 20 bytes)."""
    end = bytes(data[-98:])
    if end[-22:-18] != b"PK\5\6" or end[-2:] != b"\0\0":
        raise FormatError("it is no complete zip file: it does not close with an end record without comment")
    if end[-42:-38] != b"PK\6\7":
        return struct.unpack("<I", end[-10:-6])[0]
    if end[:4] != b"PK\6\6":
        raise FormatError("it is no complete zip file: its 64-bit end record is missing")
    return struct.unpack("<Q", end[40:48])[0]


def dtype(value):
    """A little-endian numpy dtype of numbers, from its record."""
    if is_record(value, "numpy dtype") and value.args and type(value.state) is tuple and len(value.state) > 1:
        code, order = value.args[0], value.state[1]
        if type(code) is str and code in CODES and order in ("<", "|"):         # a deep tuple has no cheap hash
            return np.dtype(order + code if order == "<" else code)
    raise FormatError("an array's dtype is none of little-endian numbers")


def array(value, limits):
    """A numpy array (a copy) from its record."""
    limits.step()
    if is_record(value, *RECONSTRUCT) and type(value.state) is tuple and len(value.state) == 5:
        _, shape, kind, fortran, data = value.state
    elif is_record(value, *FROMBUFFER) and len(value.args) == 4:
        data, kind, shape, order = value.args
        fortran = order == "F"
    elif is_record(value, *SCALAR) and len(value.args) == 2:
        (kind, data), shape, fortran = value.args, (), False
    else:
        raise FormatError("it has something else where a tensor belongs")
    kind, data = dtype(kind), as_bytes(data, limits)
    if type(shape) is not tuple or len(shape) > 8 or any(type(n) is not int or not 0 < n < 2 ** 40 for n in shape):
        raise FormatError("an array's shape is no tuple of positive numbers")
    if math.prod(shape) * kind.itemsize != len(data):
        raise FormatError(f"an array of shape {list(shape)} has {len(data):,} bytes")
    limits.produce(len(data))
    return np.frombuffer(data, kind).reshape(shape, order="F" if fortran else "C").copy()


def number(value, limits):
    """A number, which old files store as a numpy scalar."""
    if is_record(value, *SCALAR):
        value = array(value, limits).item()
    if type(value) not in (int, float, bool) or not math.isfinite(value):
        raise FormatError("it has something else where a number belongs")
    return value
