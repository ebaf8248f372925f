"""`____`, what a stub returns: it swallows every operation, so a half-written answer runs and counts as not attempted."""
import dis
import sys


class Placeholder:
    __slots__ = ()

    def __repr__(self):
        return "____"

    def __bool__(self):
        return False

    def __iter__(self):
        """Empty, except in `a, b = ____`."""
        frame = sys._getframe(1)
        operation, count = frame.f_code.co_code[frame.f_lasti:frame.f_lasti + 2]
        return iter([self] * count if dis.opname[operation] == "UNPACK_SEQUENCE" else ())

    def _itself(self, *args, **kwargs):
        return self

    def __getattr__(self, name):
        if name.startswith("__") or name.startswith("_repr") or name.startswith("_ipython"):
            raise AttributeError(name)
        return self

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return ____

    def __array_ufunc__(self, *args, **kwargs):
        return ____


for _name in ("call getitem add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv matmul rmatmul pow rpow neg "
              "lt le gt ge").split():
    setattr(Placeholder, f"__{_name}__", Placeholder._itself)

____ = Placeholder()
