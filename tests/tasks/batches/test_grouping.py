"""Lines that begin alike stand together, and nothing else changes their order."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.batches import grouping
from tasks.jobs.requests import Request
from tasks.kinds.embed import Embedding
from tasks.kinds.generation import Generation, Text, Tool, ToolCall, Turn

RULES = "You are the clerk of a harbour. " * 30


def chat(*said: str, system: str | None = None, **more: object) -> Generation:
    turns = [Turn("system", (Text(system),))] if system is not None else []
    turns += [Turn(role, (Text(text),)) for role, text in zip(("user", "assistant") * len(said), said, strict=False)]
    return Generation(turns=tuple(turns), **more)  # type: ignore[arg-type]


def order(*asked: Request) -> list[int]:
    """The lines in the order in which they run."""
    placed = grouping.ranks([grouping.key(each.to_json().input) for each in asked])
    return sorted(range(len(placed)), key=placed.__getitem__)


def test_lines_of_one_system_prompt_run_one_after_another() -> None:
    """Groups go in the order of their first lines, and lines of a group in that of the file."""
    systems = [RULES + "Speak plainly.", RULES + "Speak in verse.", "Be brief."]
    lines = [chat(f"Question {n}, which is like no other.", system=systems[n % 3]) for n in range(9)]
    assert order(*lines) == [0, 3, 6, 1, 4, 7, 2, 5, 8]


def groups(*asked: Request) -> list[int]:
    return [group for group, _ in grouping.ranks([grouping.key(each.to_json().input) for each in asked])]


def test_a_group_has_what_begins_alike_for_longest() -> None:
    """Of the lines of one system prompt those that go on alike are a group of their own, and the rest together one."""
    report = "The tide was low. " * 100
    others = [chat(f"{n} is another question. " * 90, system=RULES) for n in range(3)]
    alike = [chat(f"{report}{n}?", system=RULES) for n in range(2)]
    assert groups(others[0], alike[0], others[1], alike[1], others[2]) == [0, 1, 0, 1, 0]


def test_lines_that_begin_like_no_other_are_one_group() -> None:
    """Short ones and long ones: no slot is better for one of them than another."""
    lines = [chat(f"{n}. {RULES}") for n in range(3)] + [chat("Hi."), chat("Ho.")]
    assert groups(lines[0], lines[3], lines[1], lines[4], lines[2]) == [0] * 5
    assert groups(*lines, *(chat(f"{n}?", system=RULES) for n in range(2))) == [0] * 5 + [1] * 2


def test_short_system_prompts_are_told_apart() -> None:
    lines = [chat("How deep is it?", system=f"You are {name}.") for name in ("Ann", "Bo", "Ann", "Bo")]
    assert order(*lines) == [0, 2, 1, 3]


def test_what_is_alike_for_longer_stands_closer() -> None:
    """Of four lines with one system prompt, two go on alike for a thousand characters."""
    report = "The tide was low. " * 100
    lines = [chat(text, system=RULES) for text in (report + "A?", "Other words. " * 90, report + "B?", "C?")]
    assert order(*lines) == [0, 2, 1, 3]


def test_prompts_without_turns_are_grouped_by_how_they_begin() -> None:
    prompts = [Generation(prompt=f"{RULES[n % 2 :]}Say {n}") for n in range(4)]
    ids = [Generation(prompt_ids=(n % 2, *range(200), n)) for n in range(4)]
    assert order(*prompts) == order(*ids) == [0, 2, 1, 3]
    assert order(*(Generation(prompts=(prompt.prompt or "", "x")) for prompt in prompts)) == [0, 2, 1, 3]


def test_tools_come_before_the_system_prompt() -> None:
    """Templates write them first, so lines that differ in them share nothing."""
    tools = [(Tool(f"look_up_{n % 2}", parameters={"type": "object"}),) for n in range(4)]
    assert order(*(chat("Go.", system=RULES, tools=each) for each in tools)) == [0, 2, 1, 3]


def test_responses_are_grouped_by_their_instructions() -> None:
    said = [{"type": "message", "role": "user", "content": "How deep is it?"}]
    keys = [grouping.key({"items": said, "instructions": f"{n % 2} {RULES}"}) for n in range(4)]
    assert grouping.ranks(keys) == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_other_kinds_of_lines_stay_in_the_order_of_the_file() -> None:
    assert order(*(Embedding((text * 300,)) for text in "bab")) == [0, 1, 2]
    assert grouping.ranks([]) == []


def test_a_key_has_one_size_whatever_is_asked() -> None:
    """Half a surrogate pair, a call of a tool, nothing at all and a megabyte are all taken."""
    called = Turn("assistant", (Text(""),), (ToolCall("call_1", "look_up", "{}"),))
    asked = [
        chat("\ud800"),
        Generation(turns=(called,)),
        Generation(prompt=""),
        chat("x" * 1_000_000, system=RULES * 99),
    ]
    assert {len(grouping.key(each.to_json().input)) for each in asked} == {grouping.KEY_BYTES}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40))
def test_equal_beginnings_are_never_torn_apart(lines: list[tuple[int, int]]) -> None:
    """At each length, the lines whose beginnings of that length are equal are a run without a gap."""
    asked = [chat(f"{second}" + "." * 300, system=f"{first}" + "." * 960) for first, second in lines]
    placed = grouping.ranks([grouping.key(each.to_json().input) for each in asked])
    running = {rank: place for place, rank in enumerate(sorted(placed))}
    assert len(running) == len(lines)
    for length in (1, 2):
        groups: dict[tuple[int, ...], list[int]] = {}
        for line, rank in enumerate(placed):
            groups.setdefault(lines[line][:length], []).append(running[rank])
        for members in groups.values():
            assert sorted(members) == list(range(min(members), min(members) + len(members)))
