"""One POST to a receiver that nobody trusts: where it goes, how long it takes, how much is read."""

import ipaddress
import socket
import ssl
import threading
from pathlib import Path

import pytest

from tasks.settings import WebhookPolicy
from tasks.webhooks.deliveries import Answer
from tasks.webhooks.destinations import Destination
from tests import receiver, tables
from tests.receiver import Receiver
from workers.webhooks import outbound
from workers.webhooks.outbound import Client

CERTIFICATE = Path(__file__).parent / "hooks_test.pem"  # of hooks.test, signed by itself, with its key
LOCAL = tables.WEBHOOKS.policy


def to(there: Receiver, scheme: str = "http", host: str = "127.0.0.1") -> Destination:
    return Destination(scheme, host, there.port, "/hooks")


def client(policy: WebhookPolicy = LOCAL, *answers: list[str], trusted: bool = False) -> Client:
    """A client whose resolver gives these answers in turn, if any."""
    made, turns = outbound.client(policy), list(answers)
    if trusted:
        made.tls.load_verify_locations(CERTIFICATE)
    return Client(policy, made.tls, (lambda host, port: turns.pop(0)) if answers else made.resolve)


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def test_answer_is_the_receivers_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment comes between."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with receiver.listening(receiver.status(503, b"busy", Retry_After="7")) as there:
        assert outbound.post(to(there), {"x-own": "1"}, b"{}", client()) == Answer(503, retry_after_s=7)
        [message] = there.messages
    assert (message.headers["host"], message.headers["x-own"]) == (f"127.0.0.1:{there.port}", "1")
    assert message.body == b"{}"


def test_redirect_is_an_answer_and_not_followed() -> None:
    """Neither to the metadata service nor to where it would be allowed."""
    with receiver.listening() as other:
        for location in ("http://169.254.169.254/latest/meta-data", other.url):
            with receiver.listening(receiver.status(302, Location=location)) as there:
                assert outbound.post(to(there), {}, b"{}", client()).status == 302
        assert other.messages == []


def test_name_with_a_private_address_gets_no_packet() -> None:
    """Also when it has a public one beside it: who answers so is not to be trusted with either."""
    with receiver.listening() as there:
        for addresses in (["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"], ["::1"], ["0.0.0.0"]):
            answer = outbound.post(to(there, host="hooks.test"), {}, b"{}", client(WebhookPolicy(), addresses))
            assert answer == Answer(error="address_refused")
        assert there.messages == []


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.0.0.1", "0"])
def test_other_spellings_of_this_machine_are_refused(host: str) -> None:
    """The system's own resolver is asked, and its answer is what is checked."""
    with receiver.listening() as there:
        assert outbound.post(to(there, host=host), {}, b"{}", client(WebhookPolicy())) == Answer(
            error="address_refused"
        )
        assert there.messages == []


def test_name_is_resolved_once_and_that_address_connected_to() -> None:
    """A name that answers an allowed address when it is checked and another a moment later changes nothing."""
    only = WebhookPolicy(allow_http=True, networks=(ipaddress.ip_network("127.0.0.1/32"),))
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    whole = Client(only, outbound.client(only).tls, rebinding)
    with receiver.listening() as there:
        assert outbound.post(to(there, host="hooks.test"), {}, b"{}", whole).status == 204
        assert asked == ["hooks.test"]
        assert outbound.post(to(there, host="hooks.test"), {}, b"{}", whole) == Answer(error="address_refused")
        assert len(there.messages) == 1
        assert there.messages[0].headers["host"] == f"hooks.test:{there.port}"


def test_next_address_is_tried_when_one_is_out_of_reach() -> None:
    """A name may have several addresses, not all of them alive."""
    with receiver.listening() as there:
        answer = outbound.post(to(there, host="hooks.test"), {}, b"", client(LOCAL, ["127.0.0.9", "127.0.0.1"]))
    assert answer.status == 204


def test_name_and_certificate_must_match() -> None:
    """The connection goes to the checked address, and TLS is still about the name."""
    with receiver.listening(tls=tls()) as there:
        home = [["127.0.0.1"]]
        good = outbound.post(to(there, "https", "hooks.test"), {}, b"{}", client(LOCAL, *home, trusted=True))
        other_name = outbound.post(to(there, "https", "other.test"), {}, b"{}", client(LOCAL, *home, trusted=True))
        unknown = outbound.post(to(there, "https", "hooks.test"), {}, b"{}", client(LOCAL, *home))
        assert (good.status, other_name, unknown) == (204, Answer(error="tls"), Answer(error="tls"))
        assert len(there.messages) == 1


@pytest.mark.parametrize(
    ("behaviour", "limit_s", "error"),
    [
        (receiver.hang, 0.5, "timeout"),
        (receiver.drip, 0.5, "timeout"),
        (receiver.reset, 60, "disconnected"),
        (receiver.leave, 60, "disconnected"),
    ],
)
def test_receiver_that_misbehaves_is_left(behaviour: receiver.Answer, limit_s: float, error: str) -> None:
    """Silence, one header a moment for ever, RST, a closed door: each ends, by the one deadline at the latest."""
    with receiver.listening(behaviour) as there:
        assert outbound.post(to(there), {}, b"{}", client(), limit_s=limit_s) == Answer(error=error)


def test_large_answer_is_not_read() -> None:
    """Of ten megabytes a few thousand bytes are taken; the status is what counts."""
    written = []

    def flood(handler: receiver.Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(160):
            handler.wfile.write(bytes(65_536))
            written.append(65_536)

    with receiver.listening(flood) as there:
        assert outbound.post(to(there), {}, b"{}", client()) == Answer(200)
    assert sum(written) < 10 * 1024 * 1024


def test_heads_without_end_are_left() -> None:
    """Each of them is small and whole, and none is the answer."""

    def promise(handler: receiver.Handler) -> None:
        while True:
            handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)

    with receiver.listening(promise) as there:
        assert outbound.post(to(there), {}, b"{}", client()) == Answer(error="not_http")


def test_endless_body_of_a_good_answer_does_not_spoil_it() -> None:
    """The head was whole: it is delivered, and the thread is free."""

    def trickle(handler: receiver.Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not handler.receiver.released.wait(0.02):
            handler.wfile.write(b".")

    with receiver.listening(trickle) as there:
        assert outbound.post(to(there), {}, b"{}", client()).status == 200


def test_what_is_no_http_is_an_error() -> None:
    """Whatever listens there, nothing of it comes back."""

    def nonsense(handler: receiver.Handler) -> None:
        handler.wfile.write(b"220 mail.example.com ESMTP\r\n" * 10)

    with receiver.listening(nonsense) as there:
        assert outbound.post(to(there), {}, b"{}", client()) == Answer(error="not_http")


def test_nobody_there_and_no_name_are_told_apart() -> None:
    """Who reads the delivery can do something about either."""
    with receiver.listening() as there:
        pass
    assert outbound.post(to(there), {}, b"{}", client()) == Answer(error="unreachable")
    assert outbound.post(to(there, host="nowhere.invalid"), {}, b"{}", client()) == Answer(error="address_refused")
    assert outbound.post(to(there, host="a." * 100 + "a"), {}, b"{}", client()).error == "address_refused"


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("120", 120), (" 5 ", 5), ("soon", None), ("-1", None), ("1.5", None), ("9" * 400, 999999999)],
)
def test_retry_after_is_read_in_seconds(given: str, seconds: float | None) -> None:
    """What isn't a number or a date is as if it weren't there."""
    with receiver.listening(receiver.status(429, Retry_After=given)) as there:
        assert outbound.post(to(there), {}, b"{}", client()).retry_after_s == seconds


def test_retry_after_may_be_a_date() -> None:
    """A date that has passed is no time at all."""
    past, future = "Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 21 Oct 2095 07:28:00 GMT"
    with receiver.listening(receiver.status(503, Retry_After=past), receiver.status(503, Retry_After=future)) as there:
        assert outbound.post(to(there), {}, b"{}", client()).retry_after_s == 0
        asked_s = outbound.post(to(there), {}, b"{}", client()).retry_after_s
    assert asked_s
    assert asked_s > 365 * 86_400


def test_receiver_that_never_reads_is_left() -> None:
    """Sending is bounded like waiting."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        there = Destination("http", "127.0.0.1", deaf.getsockname()[1], "/")
        assert outbound.post(there, {}, bytes(64 * 1024 * 1024), client(), limit_s=0.5) == Answer(error="timeout")


def test_resolver_that_hangs_holds_a_delivery_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name counts as one that isn't known; the lease of the delivery doesn't run out."""
    gone = threading.Event()
    monkeypatch.setattr(outbound, "_RESOLVE_S", 0.01)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: gone.wait(60) and [])
    with pytest.raises(TimeoutError):
        outbound.resolve("hangs.example", 443)
    gone.set()


def test_name_that_is_not_known_is_told_at_once() -> None:
    with pytest.raises(OSError, match=r"."):
        outbound.resolve("no-such-name.invalid", 443)
