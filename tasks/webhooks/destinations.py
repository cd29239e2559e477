"""Where our processes may send what tenants ask for: a URL's shape, and the addresses behind its name."""

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from tasks.errors import InvalidField
from tasks.settings import Network, WebhookPolicy

MAX_URL_LENGTH = 2048

Address = IPv4Address | IPv6Address

_PORTS = {"https": 443, "http": 80}
_FREE_PORTS_FROM = 1024  # below lie the ports of mail, shells and other services that no webhook is for
_PRINTABLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})|[0-9a-fA-F:.]{2,45}")

# An IPv6 address that stands for an IPv4 one: what decides is the address it leads to (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Public by their number and not by what they are for, or not known to Python's own table.
_SPECIAL: tuple[Network, ...] = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv4Network("192.88.99.0/24"),  # the relays of 6to4
    IPv4Network("168.63.129.16/32"),  # what Azure's machines are told by their host
    IPv6Network("2001::/23"),  # Teredo and others
    IPv6Network("2002::/16"),  # 6to4: another's address inside
    IPv6Network("3fff::/20"),  # documentation
)


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL parsed once, so that no second parser can read it differently. `host` has no brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header's value."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str, policy: WebhookPolicy, field: str = "url") -> Destination:
    """The URL's parts. Raises `InvalidField` for one that nothing may be sent to, whatever its name resolves to."""
    try:
        return _parse(url, policy)
    except ValueError as error:
        raise InvalidField(field, str(error)) from error


def refuses(policy: WebhookPolicy, address: str) -> bool:
    """Whether nothing may be sent to this address: it isn't one of the public internet, nor of an allowed network."""
    found = _reached(ipaddress.ip_address(address.partition("%")[0]))
    if any(found in network for network in policy.networks):
        return False
    if isinstance(found, IPv6Address) and found not in _GLOBAL_UNICAST:
        return True
    return not found.is_global or found.is_multicast or any(found in network for network in _SPECIAL)


def _parse(url: str, policy: WebhookPolicy) -> Destination:
    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"at most {MAX_URL_LENGTH} characters")
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise ValueError("must be a URL of printable ASCII: names as punycode, the rest percent-encoded")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or (parts.scheme == "http" and not policy.allow_http):
        raise ValueError("must begin with https://" + (" or http://" if policy.allow_http else ""))
    if "@" in parts.netloc or "#" in url:
        raise ValueError("must have no user, password or fragment")
    host = parts.hostname or ""
    if not _HOST.fullmatch(host):
        raise ValueError("names no host")
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    if port != _PORTS[parts.scheme] and port < _FREE_PORTS_FROM:
        raise ValueError(f"the port must be {_PORTS[parts.scheme]} or at least {_FREE_PORTS_FROM}")
    if _is_address(host) and refuses(policy, host):
        raise ValueError("the address is not one of the public internet")
    return Destination(parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _reached(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
