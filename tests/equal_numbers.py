"""Comparing documents whose numbers another processor may have summed in another order."""

import math
from typing import Any


def difference(found: Any, wanted: Any, where: str = "the document") -> str:
    """Where they differ, else empty: keys, texts and whole numbers exactly, other numbers beyond 1e-9 of their size."""
    if isinstance(found, dict) and isinstance(wanted, dict) and found.keys() == wanted.keys():
        return next((told for key in wanted if (told := difference(found[key], wanted[key], f"{where}.{key}"))), "")
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = enumerate(zip(found, wanted, strict=True))
        return next((told for place, pair in pairs if (told := difference(*pair, f"{where}.{place}"))), "")
    if type(found) is type(wanted) is float and math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-12):
        return ""
    return "" if type(found) is type(wanted) and found == wanted else f"{where} is {found!r}, expected {wanted!r}"
