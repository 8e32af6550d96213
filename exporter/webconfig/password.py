"""Passwords: checked one after the other, in a thread, and each good one only once."""

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

MAX_BYTES = 72  # bcrypt hashes no more
MAX_CACHED = 1000
MAX_WAITING = 32  # 2 s at cost 10

Check = Callable[[bytes, bytes], bool]


class BusyError(Exception):
    """Too many passwords wait to be checked."""


def check_bcrypt(password: bytes, stored: bytes) -> bool:
    """Whether a password is the one that was stored."""
    import bcrypt  # noqa: PLC0415 - most have no passwords

    return bcrypt.checkpw(password, stored)


class Passwords:
    """Says whether a password is its user's.

    Good ones are remembered under a keyed hash of user, password and what was stored for him: it is
    of no use to who reads our memory's dump, and ends with the stored hash.

    Args:
        check: compares a password with a stored hash, in a thread and in constant time.
    """

    def __init__(self, check: Check = check_bcrypt) -> None:
        self._check = check
        self._secret = secrets.token_bytes(32)
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="password")

    async def verify(self, users: Mapping[str, str], user: str, password: bytes) -> bool:
        """Whether it is right; an unknown user costs as much as a known one.

        Raises:
            BusyError: too many wait already.
        """
        if len(password) > MAX_BYTES:
            return False
        stored = users.get(user) or _nobody(users)
        name = self._name(user.encode(), password, stored.encode())
        if self._is_good(name):
            return True
        if self._waiting >= MAX_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            async with self._turn:
                # Another request may have brought the same meanwhile.
                if self._is_good(name):
                    return True
                loop = asyncio.get_running_loop()
                right = await loop.run_in_executor(
                    self._thread, self._check, password, stored.encode()
                )
        finally:
            self._waiting -= 1
        if not right or user not in users:
            return False
        self._good[name] = None
        if len(self._good) > MAX_CACHED:
            self._good.popitem(last=False)
        return True

    def _is_good(self, name: bytes) -> bool:
        if name not in self._good:
            return False
        self._good.move_to_end(name)
        return True

    def _name(self, *parts: bytes) -> bytes:
        keyed = hashlib.blake2b(key=self._secret)
        for part in parts:
            keyed.update(len(part).to_bytes(8, "big") + part)
        return keyed.digest()


def _nobody(users: Mapping[str, str]) -> str:
    """A hash that takes as long as the slowest of the file, and that nobody's password has."""
    cost = max(stored[4:6] for stored in users.values())
    return f"$2b${cost}${'.' * 53}"
