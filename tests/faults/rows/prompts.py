"""Prompts made to do harm: TURNS with special tokens in users' words, TOKENISE with very long runs of one character."""

import re

import psutil

from benchmarks import random_gguf, tokenising
from tests.faults.checker import Tally, jobs
from tests.faults.clients import Ask, Follower, Party
from tests.faults.ground import Ground
from tests.faults.rig import DEMO, RANDOM
from tests.faults.rows.kills import join
from tests.faults.rows.waits import standstill

_ANSWER_TOKENS = 8
_MORE_TOKENS = 2  # than a digit: as text, the name of a special token is "<", a word and ">" at least
_HOSTILE = 3  # prompts at once
_SHORTEST, _LONGEST_BYTES = 60_000, 1_000_000
_NEIGHBOUR_TOKENS = 10_000  # more than it comes to say


def special_tokens_as_text(ground: Ground) -> Tally:
    """TURNS: the names of special tokens in a chat's words, a forged turn among them, cost what their text costs."""
    tally, rig, party = Tally(), ground.rig, ground.party()
    rig.heal({"demo-one": DEMO})
    specials = rig.subject.specials(ground.random)
    names = re.compile("|".join(map(re.escape, sorted(specials, key=len, reverse=True))))
    words = " ".join(f"X{special}X" for special in specials) + rig.subject.forged
    params = {"temperature": 0, "max_tokens": _ANSWER_TOKENS}
    asked = [party.surely(Ask(DEMO, said, params, type="chat")) for said in (words, names.sub("7", words))]
    join(ground, [party.followers[job_id] for job_id in asked])
    ground.check(party, tally)
    spent = {f"job_{job.id}": job.prompt_tokens for job in jobs(rig, party)}
    tally.injections = tally.fired = len(names.findall(words))
    more = spent[asked[0]] - spent[asked[1]]
    tally.notes.append(f"{tally.fired} special tokens in words cost {more} tokens more than so many digits")
    bound = _MORE_TOKENS * tally.fired
    tally.promise(more >= bound, f"{tally.fired} special tokens in words cost only {more} tokens more than digits")
    return tally


def long_runs(ground: Ground) -> Tally:
    """TOKENISE: prompts of up to a million characters of one kind end no engine host; who streams beside goes on."""
    tally, party = Tally(), ground.party()
    models = list(RANDOM)
    for model in ground.size(models, [models[ground.seed % len(models)]]):
        _submit_runs(ground, party, model, tally)
    ground.check(party, tally)
    ground.rig.heal({})
    return tally


def _submit_runs(ground: Ground, party: Party, model: str, tally: Tally) -> None:
    rig, worker = ground.rig, f"{model}-one"
    random_gguf.write(rig.random_file(model), random_gguf.of_bytes(random_gguf.SHAPES["long"], RANDOM[model]))
    rig.heal({worker: model})
    host = rig.host(worker)
    speaking = party.surely(Ask(model, "the", {"temperature": 0, "max_tokens": _NEIGHBOUR_TOKENS}))
    neighbour = party.followers[speaking]
    rig.until(lambda: neighbour.tokens_seen() > 3)
    submitted_at = neighbour.heard_at
    hostile = [party.followers[party.surely(ask)] for ask in _runs(ground, model)]
    join(ground, hostile)
    tally.injections += len(hostile)
    tally.fired += sum(follower.told_end for follower in hostile)
    tally.promise(host.is_running() and host.status() != psutil.STATUS_ZOMBIE, f"{model}: the engine host died")
    again = sum(max(follower.attempts, default=0) > 1 for follower in (*hostile, neighbour))
    tally.promise(not again, f"{model}: {again} jobs were begun again")
    party.cancel(speaking)
    join(ground, [neighbour])
    ends = [_end(follower) for follower in hostile]
    tally.notes.append(
        f"{model}: {', '.join(ends)}; beside them {standstill(neighbour, submitted_at):.2f} s of silence"
    )


def _runs(ground: Ground, model: str) -> list[Ask]:
    kinds = ground.random.sample(list(tokenising.RUNS), _HOSTILE)
    params = {"temperature": 0, "max_tokens": _ANSWER_TOKENS}
    return [Ask(model, tokenising.run(kind, _length(ground, kind)), params, hostile=True) for kind in kinds]


def _length(ground: Ground, kind: str) -> int:
    """In characters, of which some are four bytes."""
    return ground.random.randint(_SHORTEST, _LONGEST_BYTES // len(tokenising.RUNS[kind][0].encode()))


def _end(follower: Follower) -> str:
    """How a job ended, with the code of its error where it has one."""
    if not follower.told_end:
        return "no end"
    _, _, type, job = follower.events[-1]
    return str((job.get("error") or {}).get("code") or type)
