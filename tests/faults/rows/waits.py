"""QUEUE: how long anybody stands still when an engine host dies under some jobs and another arrives."""

import itertools
import time

from tests.faults.checker import Tally
from tests.faults.clients import Follower
from tests.faults.ground import Ground
from tests.faults.rig import DEMO
from tests.faults.rows.kills import arm, join, long, long_asks, over, submit_all
from workers.quarantine import TRIAL_S

_SUSPECTS = 2  # each is tried while the others wait
_MARGIN_S = 5.0


def death_and_arrival(ground: Ground) -> Tally:
    """QUEUE: two long jobs lose their engine host and a third arrives right after: none of them waits for long."""
    tally, rig, party, subject = Tally(), ground.rig, ground.party(), ground.rig.subject
    rig.heal({"demo-one": DEMO})
    greedy, _, seeded, arrival = long_asks(ground, 4, subject.longest_tokens)
    shortest, longest = long(subject.longest_tokens), 0.0
    for _ in range(ground.size(10, 2)):
        tally.injections += 1
        token = ground.random.randint(shortest, shortest * 3 // 2)  # of both jobs together
        arm(ground, "demo-one", f"worker.mid_generation:{token}:pause")
        followers = submit_all(ground, party, [greedy, seeded], ["demo-one"])
        rig.until(lambda f=followers: "event=failpoint" in rig.log("demo-one") or over(f))
        if over(followers):
            continue
        rig.host("demo-one").kill()
        killed_at = time.monotonic()
        tally.fired += 1
        followers.append(party.followers[party.surely(arrival)])
        join(ground, followers)
        still = [standstill(follower, killed_at) for follower in followers]
        tally.notes.append("stood still for " + ", ".join(f"{seconds:.1f}" for seconds in still) + " s")
        longest = max(longest, *still)
    ground.check(party, tally)
    bound = _SUSPECTS * TRIAL_S + subject.load_s + _MARGIN_S
    tally.promise(longest <= bound, f"one stood still for {longest:.1f} s, the bound is {bound:.0f}")
    return tally


def standstill(follower: Follower, since: float) -> float:
    """The longest time without a delta from that moment on; it counts from the last delta before it."""
    moments = [at for at, _, type, _ in follower.events if type == "delta"]
    before = max((at for at in moments if at <= since), default=since)
    after = [at for at in moments if at > since] or [follower.heard_at]
    return max(later - earlier for earlier, later in itertools.pairwise([before, *after]))
