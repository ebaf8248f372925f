"""The functions of GPU kernels. Importing them needs Triton."""
from .autograd import Act, Demod, Scale, Upfirdn
from .dense_layers import Dense
from .normalisation import AdaIN, PixelNorm
from .rgb import FromRGB, ToRGB
from .stddev import MinibatchStddev
from .weights import Resampled, Scaled

__all__ = ["Act", "AdaIN", "Demod", "Dense", "FromRGB", "MinibatchStddev", "PixelNorm", "Resampled", "Scale", "Scaled", "ToRGB",
           "Upfirdn"]
