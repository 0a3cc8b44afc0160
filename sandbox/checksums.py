"""CRC32C, the checksum that Secret Manager keeps with every payload."""

_REVERSED_POLYNOMIAL = 0x82F63B78  # Castagnoli's
_ALL_BITS = 0xFFFFFFFF


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_REVERSED_POLYNOMIAL if byte & 1 else 0)
    return byte


_REMAINDERS = tuple(_remainder(byte) for byte in range(256))


def crc32c(data: bytes) -> int:
    checksum = _ALL_BITS
    for byte in data:
        checksum = checksum >> 8 ^ _REMAINDERS[(checksum ^ byte) & 0xFF]
    return checksum ^ _ALL_BITS
