"""Time-ordered identifiers: UUID version 7 (RFC 9562, section 5.7)."""

from __future__ import annotations

from uuid import UUID


def uuid7(now_ms: int, random: bytes) -> str:
    """A UUIDv7 from a UTC time in epoch milliseconds and 10 random bytes."""
    if len(random) != 10:
        raise ValueError("a UUIDv7 takes 10 random bytes")
    value = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random)
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return str(UUID(int=value))
