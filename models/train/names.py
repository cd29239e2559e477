"""The words the training text is made of, and names, of which every eighth is kept for the measurement."""

import random
import re
import tomllib
import zlib
from pathlib import Path

# Of all names, those whose checksum is a multiple of this are never trained on.
HELD_OUT_EVERY = 8

WORDS: dict[str, list[str]] = {
    slot: words.split()
    for slot, words in tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8")).items()
}
SIMPLE_ONSETS = tuple("bcdfghjklmnprstvwz")
ONSETS = tuple(re.findall(r"\w+", "bl br ch cr dr fl fr gl gr kl kr pl pr qu sh sk sl sm sn st str tr th y"))
VOWELS = (*"aeiou" * 6, *re.findall(r"\w+", "ai ea ee ia ie io oa oo ou"))
CODAS = (*[""] * 18, *"dfgklmnprstvxz" * 2, *re.findall(r"\w+", "ck ll nd ng nt rd rk rn rt sh ss st th"))


def is_held_out(name: str) -> bool:
    return zlib.crc32(name.encode()) % HELD_OUT_EVERY == 0


def name(chance: random.Random, *, held_out: bool = False) -> str:
    """A name, mostly invented: one never trained on if `held_out`, otherwise one that is."""
    while True:
        drawn = chance.choice(WORDS["first_name"]) if not held_out and chance.random() < 0.2 else invented(chance)
        if is_held_out(drawn) == held_out:
            return drawn


def invented(chance: random.Random) -> str:
    syllables = chance.choice((1, 2, 2, 2, 2, 3))
    letters = "".join(syllable(chance, last=place == syllables - 1) for place in range(syllables))
    return letters.capitalize() if len(letters) > 2 else invented(chance)


def syllable(chance: random.Random, *, last: bool) -> str:
    onset = chance.choice(SIMPLE_ONSETS if chance.random() < 0.75 else ONSETS) if chance.random() < 0.93 else ""
    coda = chance.choice(CODAS) if last or chance.random() < 0.3 else ""
    return f"{onset}{chance.choice(VOWELS)}{coda}"


def number(chance: random.Random) -> str:
    """A number of one to five digits; now and then one with a point or letters."""
    kind = chance.random()
    if kind < 0.04:
        return f"{chance.randrange(100)}.{chance.randrange(10)}"
    if kind < 0.07:
        return "".join(chance.sample("ABCDEFGHKLMNPRSTUVWXYZ", 2)) + str(chance.randrange(100))
    digits = chance.choice((1, 2, 2, 3, 3, 4, 4, 5))
    return str(chance.randrange(10 ** (digits - 1), 10**digits))
