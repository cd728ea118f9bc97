"""Every random choice in the kit is a function of named numbers: `derive_seed(seed, "paths", step, path)`."""

import hashlib
import random


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from `parts`; any change in any part gives an unrelated seed, on every platform and version."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def derive_random(*parts: int | str) -> random.Random:
    """A private generator seeded by `derive_seed(*parts)`."""
    return random.Random(derive_seed(*parts))
