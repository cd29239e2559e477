"""One POST to a place that a tenant named: to a checked address, within a time, and with little read.

The name is resolved once, every address it has is checked, and the connection goes to one of those, with the name in
the Host header and in TLS: a name that resolves to something else a moment later changes nothing. No redirect is
followed, no proxy of the environment used.
"""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import certifi
import httpcore

from tasks.settings import WebhookPolicy
from tasks.webhooks import destinations
from tasks.webhooks.deliveries import Answer
from tasks.webhooks.destinations import Destination

LIMIT_S = 15.0
_RESOLVE_S = 5.0
_resolving = threading.BoundedSemaphore(256)  # what hangs is over after half a minute; a tenant has eight at a time
_CONNECT_S = 5.0  # for one of several addresses
_REST_S = 1.0  # for what follows the answer's head
_REST_BYTES = 4096
_READ_BYTES = 65_536  # of all that comes: an honest head is smaller by far, and may be many (RFC 9110, 15.2)

Resolve = Callable[[str, int], list[str]]


class Refused(Exception):
    """The name has an address that nothing may be sent to."""


class _NameNotFound(httpcore.ConnectError):
    """The name has no address."""


class _Untrusted(httpcore.ConnectError):
    """TLS came to nothing: the certificate is another's, unknown or out of date, or there is no TLS at all."""


def post(
    destination: Destination, headers: Mapping[str, str], body: bytes, client: "Client", limit_s: float = LIMIT_S
) -> Answer:
    """Sends the body and says how that went; never raises for what the network or the receiver does.

    `limit_s` bounds it all; a name that isn't resolved within five seconds is as one that isn't known.
    """
    exchange = _Exchange(limit_s)
    url = httpcore.URL(scheme=destination.scheme, host=destination.host, port=destination.port, target=destination.path)
    backend = _Checked(client.policy, client.resolve, exchange)
    whole = {"Host": destination.authority, "Connection": "close", "User-Agent": "forebay", **headers}
    try:
        with (
            httpcore.ConnectionPool(ssl_context=client.tls, network_backend=backend) as pool,
            pool.stream("POST", url, headers=list(whole.items()), content=body) as response,
        ):
            _read_a_little(response, exchange)
            return Answer(response.status, retry_after_s=_retry_after_s(dict(response.headers)))
    except (Refused, _NameNotFound):  # one code: a tenant isn't told which names our resolver knows
        return Answer(error="address_refused")
    except httpcore.TimeoutException:
        return Answer(error="timeout")
    except httpcore.ProtocolError:
        return Answer(error="not_http" if exchange.heard else "disconnected")
    except _Untrusted:
        return Answer(error="tls")
    except httpcore.ConnectError:
        return Answer(error="unreachable")
    except httpcore.NetworkError:
        return Answer(error="disconnected")


@dataclass(frozen=True, slots=True)
class Client:
    """What every POST needs: where it may go, whom TLS trusts, how names are resolved."""

    policy: WebhookPolicy
    tls: ssl.SSLContext
    resolve: Resolve


def client(policy: WebhookPolicy) -> Client:
    """Trusts the system's authorities and those of certifi; resolves names by the system."""
    tls = ssl.create_default_context()
    tls.load_verify_locations(certifi.where())
    return Client(policy, tls, resolve)


def resolve(host: str, port: int) -> list[str]:
    """The addresses behind a name. Raises `OSError` when there are none, or none come in time.

    The system's resolver has no limit that we could set: it is asked on a thread that is left behind if it hangs.
    """
    if not _resolving.acquire(blocking=False):
        raise OSError("too many names are being resolved")
    found: Future[list[Any]] = Future()

    def ask() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.set_exception(error)
        finally:
            _resolving.release()

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    return [str(address[4][0]) for address in found.result(_RESOLVE_S)]


class _Exchange:
    """One request and its answer: a bound in time for all its steps, and how much the other side said."""

    def __init__(self, seconds: float) -> None:
        self._end_at = time.monotonic() + seconds
        self.heard = 0

    def left_s(self, at_most_s: float | None = None) -> float:
        """Raises httpcore's `ReadTimeout` when nothing is left."""
        left = self._end_at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time is up")
        return left if at_most_s is None else min(left, at_most_s)

    def shorten(self, seconds: float) -> None:
        self._end_at = min(self._end_at, time.monotonic() + seconds)


class _Checked(httpcore.NetworkBackend):
    """Connects to checked addresses only. httpcore asks it once a connection, by the URL's host."""

    def __init__(self, policy: WebhookPolicy, resolve: Resolve, exchange: _Exchange) -> None:
        self._policy, self._resolve, self._exchange = policy, resolve, exchange
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in self._addresses(host, port):
            try:
                left_s = self._exchange.left_s(_CONNECT_S)
                found = self._sockets.connect_tcp(address, port, left_s, local_address, socket_options)
                return _Bounded(found, self._exchange)
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
        raise failure or _NameNotFound(host)

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            ipaddress.ip_address(host)
            found = [host]
        except ValueError:
            try:
                found = self._resolve(host, port)
            except (OSError, UnicodeError) as error:
                raise _NameNotFound(str(error)) from error
        if any(destinations.refuses(self._policy, address) for address in found):
            raise Refused
        return found


class _Bounded(httpcore.NetworkStream):
    """A connection whose every step ends by the deadline, however little or much the other side sends."""

    def __init__(self, inner: httpcore.NetworkStream, exchange: _Exchange) -> None:
        self._inner, self._exchange = inner, exchange

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline's
        if self._exchange.heard >= _READ_BYTES:
            raise httpcore.RemoteProtocolError("the answer has no end")
        found = self._inner.read(max_bytes, self._exchange.left_s())
        self._exchange.heard += len(found)
        return found

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        view = memoryview(buffer)
        for start in range(0, len(view), 65_536):
            self._inner.write(bytes(view[start : start + 65_536]), self._exchange.left_s())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        try:
            secured = self._inner.start_tls(ssl_context, server_hostname, self._exchange.left_s())
        except httpcore.ConnectError as error:
            raise _Untrusted(str(error)) from error
        return _Bounded(secured, self._exchange)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _read_a_little(response: httpcore.Response, exchange: _Exchange) -> None:
    """Lets the receiver finish its answer, which is thrown away; not for long, and not much of it."""
    exchange.shorten(_REST_S)
    size = 0
    with suppress(httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        for piece in response.iter_stream():
            size += len(piece)
            if size > _REST_BYTES:
                return


def _retry_after_s(headers: Mapping[bytes, bytes]) -> float | None:
    """The seconds of Retry-After, which may be a date (RFC 9110, 10.2.3); None for what is neither."""
    found = {name.lower(): value for name, value in headers.items()}.get(b"retry-after", b"").decode("latin-1").strip()
    if found.isascii() and found.isdigit():
        return float(found[:9])
    try:
        return max(0.0, parsedate_to_datetime(found).timestamp() - time.time())
    except (ValueError, OverflowError, TypeError):
        return None
