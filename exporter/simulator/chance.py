"""Seeded chance: every draw is a function of its name alone.

Built on hashes, because `hash()` differs between processes and a shared generator would make
each answer depend on the questions asked before it.
"""

import hashlib
import random


def draw(*name: object) -> int:
    """Draw a number of 64 bits that belongs to this name."""
    return int.from_bytes(hashlib.blake2b(_spell(name), digest_size=8).digest())


def noise(length: int, *name: object) -> bytes:
    """Draw as many bytes as asked for; they belong to this name."""
    return hashlib.shake_128(_spell(name)).digest(length)


def generator(*name: object) -> random.Random:
    """Make a generator whose whole sequence belongs to this name."""
    return random.Random(_spell(name))


def _spell(name: tuple[object, ...]) -> bytes:
    return ":".join(map(str, name)).encode()
