"""What follows a commit, and what goes before one."""

import threading

import pytest

from db.session import Sessions
from tasks.queues import dispatch
from tasks.queues.dispatch import Dispatcher, Refiller
from tests import tables
from tests.support.post import Post


@pytest.mark.parametrize("broken", [False, True])
def test_what_nobody_hears_is_announced_once_a_second(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """An announcement that nobody hears costs each interactive job a command, and a broker that is away a wait."""
    post, gone = Post(broken=broken), threading.Event()
    refiller = Refiller(Dispatcher(post, sessions, tables.LEASE_S))
    gone.set()

    def announce(queue: str) -> None:
        refiller.announce(queue)
        refiller.run(gone)

    for queue in ("alpha", "alpha", "beta"):
        announce(queue)
    assert post.announced == ["alpha", "beta"]
    monkeypatch.setattr(dispatch, "_UNHEARD_S", 0.0)
    refiller._unheard_until.clear()
    announce("alpha")
    announce("alpha")
    assert post.announced == ["alpha", "beta", "alpha", "alpha"]
