"""What clients are answered about usage."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Literal, NotRequired, TypedDict, cast

from tasks.jobs.requests import KindName
from tasks.limits import usage
from tasks.limits.usage import GROUPS, Used

_DAY = {"format": "date"}


class UsageSum(TypedDict):
    """What some jobs used."""

    jobs: Annotated[int, "Jobs that ended, in whichever way, and those that such a job was made of."]
    prompt_tokens: Annotated[int, "Of prompts and of texts that were embedded."]
    completion_tokens: int
    embedding_tokens: Annotated[int, "Of `rag` jobs: what the search for passages took."]
    cached_tokens: Annotated[int, "Those of the prompts that had been evaluated before."]


class UsageRow(UsageSum):
    """What the jobs of a day, a model or a type used: as `group_by` says, one of these is there."""

    day: NotRequired[Annotated[str, _DAY]]
    model: NotRequired[str]
    type: NotRequired[KindName]


# Not as a class: `from` is a word of Python's.
UsageReport = TypedDict(
    "UsageReport",
    {
        "object": Literal["usage"],
        "from": Annotated[str, _DAY],
        "to": Annotated[str, _DAY],
        "group_by": Annotated[str, {"enum": tuple(GROUPS)}],
        "data": Annotated[list[UsageRow], "Those of which there are jobs, in the order of days or names."],
        "total": UsageSum,
    },
)


def report(first: dt.date, last: dt.date, by: str, used: Sequence[Used]) -> UsageReport:
    return {
        "object": "usage",
        "from": first.isoformat(),
        "to": last.isoformat(),
        "group_by": by,
        "data": [_row(by, one) for one in used],
        "total": _sum(usage.total(used)),
    }


def _row(by: str, used: Used) -> UsageRow:
    return cast(UsageRow, {by: used.of, **_sum(used)})  # what it may be grouped by are members' names


def _sum(used: Used) -> UsageSum:
    return {
        "jobs": used.jobs,
        "prompt_tokens": used.spent.prompt,
        "completion_tokens": used.spent.completion,
        "embedding_tokens": used.spent.embedding,
        "cached_tokens": used.spent.cached,
    }
