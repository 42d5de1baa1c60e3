"""Files with faults: bytes that are changed, lost, doubled or new."""

from __future__ import annotations

from random import Random


def flipped(content: bytes, chance: Random) -> bytes:
    """Return XML with one or two faults: a bit flipped, some bytes lost, or two more signs."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 2)):
        place = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[place] ^= 1 << chance.randrange(7)
            case 1:
                del data[place : place + chance.randint(1, 9)]
            case _:
                data[place:place] = bytes(chance.choices(b"019.<>/N", k=2))
    return bytes(data)


def shuffled(content: bytes, chance: Random) -> bytes:
    """Return text with one to four faults: bytes lost or doubled, or another printable one."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, size = chance.randrange(len(data)), chance.choice((1, 1, 3, 30))
        match chance.randrange(3):
            case 0:
                del data[at : at + size]
            case 1:
                data[at] = chance.randrange(32, 127)
            case _:
                data[at:at] = data[at : at + size]
    return bytes(data)
