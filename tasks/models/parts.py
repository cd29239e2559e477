"""A model that is split over several GGUF files, which are found by their names."""

import re
from pathlib import Path

_PART = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def of(file: Path) -> tuple[Path, ...]:
    """All parts of the model whose first part is called so, beside it, whether they are there or not.

    Of any other file it is that file alone.
    """
    named = _PART.fullmatch(file.name)
    if not named or int(named["number"]) != 1:
        return (file,)
    count = int(named["count"])
    return tuple(file.with_name(f"{named['stem']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1))
