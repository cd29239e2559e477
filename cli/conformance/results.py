"""What came of the runs, as a page and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cli.conformance import suite
from cli.conformance.suite import Outcome

AS_IT_IS, RELAXED = "as it is", "relaxed"
MODES = ("loose", "strict", "aiohttp")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of all tests. `created` calls were answered well, and `jobs` more were there afterwards."""

    name: str
    outcomes: Sequence[Outcome]
    created: int
    jobs: int
    left_out: Mapping[str, int]

    @property
    def whole(self) -> bool:
        """True where every test passed, and each create call made one job."""
        return all(outcome.passed for outcome in self.outcomes) and self.created == self.jobs

    def count(self, area: str, mode: str | None = None) -> tuple[int, int]:
        """How many passed, of how many."""
        which = [one for one in self.outcomes if one.area == area and mode in (None, one.mode)]
        return sum(one.passed for one in which), len(which)


def page(runs: Sequence[Run]) -> str:
    """Markdown: a table of the areas, what was left out, what failed."""
    return "\n".join(_lines(runs)) + "\n"


def as_json(runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "openai": suite.VERSION,
        "not_served": list(suite.NOT_SERVED),
        "runs": [
            {
                "name": run.name,
                "created": run.created,
                "jobs": run.jobs,
                "left_out": dict(run.left_out),
                "areas": {area: {mode: run.count(area, mode) for mode in MODES} for area in suite.AREAS},
                "failed": [asdict(outcome) for outcome in run.outcomes if not outcome.passed],
            }
            for run in runs
        ],
    }


def _lines(runs: Sequence[Run]) -> Iterator[str]:
    yield f"# openai-python {suite.VERSION}: its own tests against this API"
    yield ""
    yield "Passed of collected. The client is loose or strict about what it is answered; `aiohttp` is strict too."
    yield ""
    yield from _table(runs)
    yield ""
    yield f"Not served here, and not run: {', '.join(f'`{call}`' for call in suite.NOT_SERVED)}."
    for run in runs:
        yield ""
        yield from _about(run)


def _table(runs: Sequence[Run]) -> Iterator[str]:
    columns = [(run, mode) for run in runs for mode in MODES]
    yield f"| area | {' | '.join(f'{run.name}, {mode}' for run, mode in columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    for area in suite.AREAS:
        cells = (_share(*run.count(area, mode)) for run, mode in columns)
        yield f"| {area} | {' | '.join(cells)} |"
    sums = (_share(*_sum(run, mode)) for run, mode in columns)
    yield f"| all | {' | '.join(sums)} |"


def _share(passed: int, of: int) -> str:
    return f"{passed} of {of}" if of else "none"


def _sum(run: Run, mode: str) -> tuple[int, int]:
    counts = [run.count(area, mode) for area in suite.AREAS]
    return sum(passed for passed, _ in counts), sum(of for _, of in counts)


def _about(run: Run) -> Iterator[str]:
    passed = sum(outcome.passed for outcome in run.outcomes)
    yield f"## {run.name.capitalize()}: {passed} of {len(run.outcomes)}"
    yield ""
    yield f"{run.created} create calls were answered well; {run.jobs} jobs were made."
    if run.left_out:
        yield ""
        yield "Left out of requests, or put in:"
        yield ""
        yield from (f"* `{what}` ({times} times)" for what, times in sorted(run.left_out.items()))
    failed = [outcome for outcome in run.outcomes if not outcome.passed]
    if failed:
        yield ""
        yield from (f"* {_failure(outcome)}" for outcome in failed)


def _failure(outcome: Outcome) -> str:
    first = outcome.complaint.splitlines()[0][:300] if outcome.complaint else ""
    return f"`{outcome.area}: {outcome.name}[{outcome.mode}]` {first}"
