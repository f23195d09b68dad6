"""RSA keys that a label fixes, so that a simulated seal is the same in every run.

The private keys follow from the source code: they protect nothing and must never sign anything real.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd, lcm
from typing import TYPE_CHECKING

from archipec.simulator.stream import Stream

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_EXPONENT = 65537
_WINDOW = 4096  # odd numbers sieved at once
_WITNESSES = (2, 3, 5, 7, 11)  # enough for numbers that were not chosen to deceive


@lru_cache(maxsize=16)
def rsa_key(bits: int, *labels: object) -> RSAPrivateKey:
    """The RSA key of these labels. A new one takes about 0.3 s for 2048 bits, a known one nothing.

    Args:
        bits: size of the modulus, a multiple of 16.
        labels: see `Stream`.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers, RSAPublicNumbers

    stream = Stream("rsa", bits, *labels)
    p, q = _prime(stream, bits // 2), _prime(stream, bits // 2)
    p, q = max(p, q), min(p, q)
    d = pow(_EXPONENT, -1, lcm(p - 1, q - 1))
    numbers = RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=d % (p - 1),
        dmq1=d % (q - 1),
        iqmp=pow(q, -1, p),
        public_numbers=RSAPublicNumbers(e=_EXPONENT, n=p * q),
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _prime(stream: Stream, bits: int) -> int:
    """The first prime, above a number of the stream, whose two highest bits are set."""
    while True:
        start = int.from_bytes(stream.take(bits // 8), "big") | (3 << (bits - 2)) | 1
        for offset in _sieved(start):
            candidate = start + 2 * offset
            if gcd(candidate - 1, _EXPONENT) == 1 and all(_passes(candidate, base) for base in _WITNESSES):
                return candidate


def _sieved(start: int) -> list[int]:
    """The offsets k for which `start` + 2k has no small factor."""
    composite = bytearray(_WINDOW)
    for prime in _small_primes():
        first = (-start * ((prime + 1) // 2)) % prime  # start + 2k = 0 (mod prime), solved for k
        composite[first::prime] = b"\1" * len(range(first, _WINDOW, prime))
    return [offset for offset, marked in enumerate(composite) if not marked]


@lru_cache(maxsize=1)
def _small_primes() -> tuple[int, ...]:
    """The odd primes below 2**15."""
    limit = 1 << 15
    marked = bytearray(limit)
    for number in range(3, int(limit**0.5) + 1, 2):
        marked[number * number :: number] = b"\1" * len(range(number * number, limit, number))
    return tuple(number for number in range(3, limit, 2) if not marked[number])


def _passes(candidate: int, base: int) -> bool:
    """Whether `candidate` passes Miller and Rabin's test for one base."""
    odd, twos = candidate - 1, 0
    while not odd & 1:
        odd >>= 1
        twos += 1
    value = pow(base, odd, candidate)
    if value in (1, candidate - 1):
        return True
    for _ in range(twos - 1):
        value = value * value % candidate
        if value == candidate - 1:
            return True
    return False
