"""Keys: shown once, found by their id, proved by their secret."""

import pytest

from db.session import Sessions
from tasks import errors, keys
from tests.tables import PEPPER


def test_key_speaks_for_its_tenant_until_revoked(sessions: Sessions) -> None:
    """Two keys of one tenant speak for the same; revoking ends one, twice is as good as once."""
    with sessions.begin() as session:
        first, second = (keys.create(session, pepper=PEPPER, tenant="t", name=name) for name in "ab")
    with sessions.begin() as session:
        callers = [keys.check(session, pepper=PEPPER, key=key.key) for key in (first, second)]
        assert callers[0] is not None
        assert callers[1] is not None
        assert callers[0].tenant_id == callers[1].tenant_id
        keys.revoke(session, first.id)
        keys.revoke(session, first.id)
    with sessions() as session:
        assert keys.check(session, pepper=PEPPER, key=first.key) is None
        assert keys.check(session, pepper=PEPPER, key=second.key) == callers[1]


def test_nothing_but_the_key_opens(sessions: Sessions) -> None:
    """A wrong secret, another pepper, another id, and text of other shapes are all refused alike."""
    with sessions.begin() as session:
        key = keys.create(session, pepper=PEPPER, tenant="t", name="n").key
    last = "A" if key[-1] != "A" else "B"
    wrong = [
        key[:-1] + last,
        key.replace("fb_", "fb-"),
        "",
        "fb_",
        key + "x",
        "' OR 1=1 --",
        "fb_0000000000_" + "x" * 43,
    ]
    with sessions() as session:
        assert [keys.check(session, pepper=PEPPER, key=text) for text in wrong] == [None] * len(wrong)
        assert keys.check(session, pepper="other", key=key) is None


def test_stored_and_listed_keys_hold_no_secret(sessions: Sessions) -> None:
    """Neither the table nor the list gives the key away."""
    with sessions.begin() as session:
        made = keys.create(session, pepper=PEPPER, tenant="t", name="n")
    secret = made.key.split("_", 2)[2]
    with sessions() as session:
        listed = keys.list_keys(session)
        rows = session.connection().exec_driver_sql("SELECT keys::text FROM keys").scalars().all()
    assert [(key.id, key.tenant, key.name, key.revoked_at) for key in listed] == [(made.id, "t", "n", None)]
    assert secret not in str(listed) + str(rows)


def test_revoking_an_unknown_key_is_an_error(sessions: Sessions) -> None:
    """A slip of the pen isn't silently accepted."""
    with pytest.raises(errors.NotFound), sessions.begin() as session:
        keys.revoke(session, "nosuchkey0")
