"""What the words of a text cost in tokens, so that its pieces can be planned before they are counted."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

Count = Callable[[Sequence[str]], Sequence[int]]

# The smallest parts: words, or parts of very long ones. Sentences of Chinese and Japanese end without a space.
PART = re.compile(r"[^\s。！？]{0,32}[。！？]{1,32}|[^\s。！？]{1,32}")
_SPACE_CHARACTERS_A_TOKEN = 8


class Costs:
    """What each distinct word and each unusual white space of some texts costs in tokens.

    The costs only plan: a tokenizer may take fewer tokens for a text than for its parts, or (rarely) more.
    """

    def __init__(self, texts: Iterable[str], count: Count, size: int) -> None:
        # Whatever a model puts around each text is counted with each word, but comes once in a piece.
        self.overhead = count([""])[0]
        if size <= self.overhead:
            raise ValueError(f"pieces of {size} tokens have no room beside the {self.overhead} around each text")
        words, spaces = set(), set()
        for text in texts:
            end = 0
            for match in PART.finditer(text):
                words.add(match.group())
                spaces.add(text[end : match.start()])
                end = match.end()
        spaces -= {"", " "}
        distinct = sorted(words | spaces)
        self._known = dict(zip(distinct, self._counted(count, distinct), strict=True))
        self._break_up([word for word in words if self._known[word] > size - self.overhead], count, size)

    def units(self, text: str, end: int, match: "re.Match[str]") -> Iterator[tuple[int, int, int]]:
        """The part as (start, end, cost), or its characters if it is too long; `end` is where the last one ended."""
        space = text[end : match.start()]
        before = max(self._known.get(space, 0), len(space) // _SPACE_CHARACTERS_A_TOKEN)
        if match.group() in self._known:
            yield match.start(), match.end(), max(1, before + self._known[match.group()])
            return
        for place, character in enumerate(match.group(), match.start()):
            yield place, place + 1, max(1, before + self._known[character])
            before = 0

    def ends(self, text: str) -> Iterator[tuple[int, int]]:
        """Where each part of one of the texts ends, and what the text costs up to there."""
        end = total = 0
        for match in PART.finditer(text):
            for _, stop, cost in self.units(text, end, match):
                total += cost
                yield stop, total
            end = match.end()

    def _counted(self, count: Count, texts: Sequence[str]) -> Iterator[int]:
        return (max(0, tokens - self.overhead) for tokens in count(texts))

    def _break_up(self, long: Sequence[str], count: Count, size: int) -> None:
        """Knows the characters of the words that no piece can hold instead of the words."""
        for word in long:
            del self._known[word]
        characters = sorted(set(itertools.chain.from_iterable(long)))
        for character, tokens in zip(characters, self._counted(count, characters) if characters else (), strict=True):
            if tokens > size - self.overhead:
                raise ValueError(f"{character!r} alone has more than {size} tokens")
            self._known.setdefault(character, tokens)
