"""Who speaks, and how long tokens wait for company."""

from workers.speaking import Speaking


def test_tokens_wait_longer_from_three_answers_on() -> None:
    """One or two answers are told as they come; an answer counts once, and only while it lasts."""
    speaking = Speaking()
    waits = [speaking.wait_s]
    for answer in ("a", "b", "b", "c"):
        speaking.begin(answer)
        waits.append(speaking.wait_s)
    speaking.end("b")
    speaking.end("unheard")
    assert [*waits, speaking.wait_s] == [0.005, 0.005, 0.005, 0.005, 0.025, 0.005]
