"""Where requests of the server's own may go: a URL comes in, addresses to connect to come out.

Whoever can name a URL could otherwise make the server talk to machines that only the server
reaches. So a URL has to be plain, every address of its host has to be public, and the connection
goes to an address that was checked, never to the name again: a second look-up may answer with
another one. It knows nothing of what is sent, or of HTTP beyond the URL.
"""

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

MAX_URL_CHARACTERS = 2048

IPAddress = IPv4Address | IPv6Address
LookUp = Callable[[str], Awaitable[Sequence[IPAddress]]]
"""All addresses of a name; raises `OSError` where it has none."""

# Everything that two readers of a URL may read differently is left out: user names, backslashes,
# fragments, percent signs in the host, letters beyond ASCII.
_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[a-z0-9._~!$&'()*+,;=:@%/-]*)?(?P<query>\?[a-z0-9._~!$&'()*+,;=:@%/?-]*)?",
    re.IGNORECASE | re.ASCII,
)
_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
# The last part of a name that some readers take for a number, and the whole for an IPv4 address.
_NUMERIC_END = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
_DEFAULT_PORTS = {"http": 80, "https": 443}

Network = IPv4Network | IPv6Network


def _networks(*words: str) -> tuple[Network, ...]:
    return tuple(ip_network(word) for word in words)


# What an operator may open: networks of machines of one's own.
_OWN = _networks(
    *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    *("::1/128", "fc00::/7"),
)
# What nobody may open: no single machine, or one (169.254.169.254) that gives secrets of clouds away.
# Source: IANA's registries of special-purpose addresses, IPv4 and IPv6.
_NEVER = _networks(
    *("0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24"),
    *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
)
# Of IPv6, only this is given out for machines that all can reach.
_GLOBAL_IPV6 = IPv6Network("2000::/3")
# An IPv4 address in their last 32 bits is the one that is reached.
_CARRIERS = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))


class AddressError(Exception):
    """Nothing may be sent there; the text says why and continues the name of a field."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart.

    Attributes:
        host: A name in lower case, or an IP address without brackets.
        path: With its query; begins with a slash.
    """

    is_tls: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port == _DEFAULT_PORTS["https" if self.is_tls else "http"]
        return host if is_default else f"{host}:{self.port}"


async def look_up(name: str) -> Sequence[IPAddress]:
    """All addresses of a name, as the machine's own resolver knows them.

    Raises:
        OSError: It has none, or nobody knows.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Sequence[IPAddress]] = loop.create_future()

    def tell(addresses: Sequence[IPAddress], error: OSError | None) -> None:
        if found.done():  # nobody waits any more
            return
        if error is None:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    def ask() -> None:
        addresses: list[IPAddress] = []
        failure: OSError | None = None
        try:
            infos = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            addresses = [ip_address(info[4][0]) for info in infos]
        except OSError as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, addresses, failure)

    # No pool: a resolver may be slow for half a minute, and nobody else shall wait for that, not
    # even the end of the process.
    threading.Thread(target=ask, name="look-up", daemon=True).start()
    return await found


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """What may be connected to.

    Any port may: before TLS has proved who is there, nothing of the sender's choice is sent.

    Attributes:
        may_be_private: Plain HTTP and machines of one's own may be reached too.
        look_up: Finds the addresses of a name.
    """

    may_be_private: bool
    look_up: LookUp = look_up

    def parse(self, url: str) -> Target:
        """Take a URL apart.

        Raises:
            AddressError: It is no plain URL, or its host is an address that may not be reached.
        """
        if len(url) > MAX_URL_CHARACTERS:
            raise AddressError(f"must have at most {MAX_URL_CHARACTERS} characters")
        found = _URL.fullmatch(url)
        if found is None:
            raise AddressError(
                f"must be a plain {self._schemes} URL: no user name, no fragment, and only ASCII"
                " (other letters percent-encoded, in the host as xn--...)"
            )
        scheme = found["scheme"].lower()
        if scheme == "http" and not self.may_be_private:
            raise AddressError("must begin with https://")
        port = int(found["port"] or _DEFAULT_PORTS[scheme])
        if not 0 < port < 65536:
            raise AddressError("must have a port from 1 to 65535, or none")
        host = self._read_ipv6(found["ipv6"]) if found["ipv6"] else self._read_name(found["name"])
        path = (found["path"] or "/") + (found["query"] or "")
        return Target(scheme == "https", host, port, path)

    async def resolve(self, target: Target) -> tuple[IPAddress, ...]:
        """All addresses of a target's host, each of which may be connected to.

        A name with a single address that may not is refused whole.

        Raises:
            AddressError: There is none, or one that may not be reached; who has named the host
                does not learn which.
        """
        addresses: Sequence[IPAddress]
        try:
            addresses = [ip_address(target.host)]
        except ValueError:
            try:
                addresses = await self.look_up(target.host)
            except OSError:
                addresses = []
        if not addresses or not all(map(self.allows, addresses)):
            kind = "" if self.may_be_private else "public "
            raise AddressError(f"must have a host with {kind}addresses only")
        return tuple(dict.fromkeys(addresses))

    def allows(self, address: IPAddress) -> bool:
        """Whether an address may be connected to."""
        if isinstance(address, IPv6Address) and any(address in each for each in _CARRIERS):
            address = IPv4Address(int(address) & 0xFFFF_FFFF)
        if any(address in network for network in _OWN):
            return self.may_be_private
        if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
            return False
        return not any(address in network for network in _NEVER)

    @property
    def _schemes(self) -> str:
        return "http or https" if self.may_be_private else "https"

    def _read_ipv6(self, text: str) -> str:
        try:
            address = IPv6Address(text)
        except ValueError:
            raise AddressError("must have an IPv6 address in its brackets") from None
        return self._check(address)

    def _read_name(self, text: str) -> str:
        name = text.lower()
        if _NUMERIC_END.fullmatch(name) is not None:
            try:
                return self._check(IPv4Address(name))
            except ValueError:
                raise AddressError("must have an IPv4 address as four decimal numbers") from None
        if _NAME.fullmatch(name) is None or ("." not in name and not self.may_be_private):
            raise AddressError("must have the full name of a host")
        return name

    def _check(self, address: IPAddress) -> str:
        if not self.allows(address):
            raise AddressError("must have a host with public addresses only")
        return str(address)
