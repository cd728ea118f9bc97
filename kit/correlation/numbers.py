"""Arrays of numbers as the statistics need them: checked, centred, without overflow."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from kit.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def finite(name: str, values: ArrayLike) -> Floats:
    """`values` as an array of one or two dimensions. Raises `InputError` naming `name` where they are not."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"the {name} are not an array of numbers: {error}") from error
    if array.ndim not in (1, 2) or not array.size:
        raise InputError(f"the {name} need one value, or one row, per architecture: found an array of shape {array.shape}")
    if not np.isfinite(array).all():
        first = int(np.argwhere(~np.isfinite(array))[0][0])
        raise InputError(f"the {name} hold a value that is not finite (first at position {first})")
    return array


def as_table(name: str, values: ArrayLike) -> Floats:
    """(n,) or (n, seeds) -> (n, seeds), checked like `finite`."""
    array = finite(name, values)
    return array.reshape(len(array), -1)


def common_length(arrays: Mapping[str, Floats]) -> int:
    """The length that all have. Raises `InputError` where they differ."""
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"not the same architectures on both sides: {lengths}", hint="join them by code first")
    return lengths["truth"]


def mean_over_seeds(scores: Floats) -> Floats:
    """(n, seeds) -> (n,). Rounded to 12 decimals of the largest: .1 + .5 and .2 + .4 differ in binary, but are a tie."""
    if scores.shape[1] == 1:
        return scores[:, 0]
    power = exponent(scores)
    means: Floats = np.ldexp(np.round(np.ldexp(scores, -power).mean(axis=1), 12), power)
    return means


def centred(values: Floats) -> Floats:
    """Deviations from the mean, of magnitude 2 at most."""
    # A power of two keeps every ratio and protects squares from overflow and underflow.
    scaled = np.ldexp(values, -exponent(values))
    centred: Floats = scaled - scaled.mean()
    return centred


def exponent(values: Floats) -> int:
    """The power of two that bounds all magnitudes."""
    return int(np.frexp(np.abs(values).max())[1])


def pearson(x: Floats, y: Floats) -> float:
    """Pearson's r of centred values. Raises `InputError` where double precision cannot tell it."""
    result = float(stats.pearsonr(x, y).statistic)
    if not math.isfinite(result):
        raise InputError("the values differ by too little for a correlation in double precision")
    return result


def weighted_pearson(weights: Floats, x: Floats, y: Floats) -> Floats:
    """Pearson's r per resample for x and y of shape (n,) or (B, n), nan where a variance vanishes."""
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    weighted = weights * x
    scale = np.sqrt(dot(weighted, x)) * np.sqrt(dot(weights * y, y))
    result = np.divide(dot(weighted, y), scale, out=np.full(len(weights), np.nan), where=scale > 0)
    clipped: Floats = np.clip(result, -1, 1)
    return clipped


def dot(a: Floats, b: Floats) -> Floats:
    """Sums of products by row: (B, n), (B, n) -> (B,)."""
    product: Floats = np.einsum("bn,bn->b", a, b)
    return product
