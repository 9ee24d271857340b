"""Where the server answers: sockets for a host and a port, and the names by which browsers reach them."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from e2gan.core.errors import InputError

OTHERS = ("192.0.2.1", "2001:db8::1")  # of documentation: nothing is sent there, the system only says from where
LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Place:
    """Sockets that are bound, and the port. names: names and addresses of this server, without brackets. shown: that of
    them which is printed. private: whether this machine alone reaches it."""

    sockets: tuple[socket.socket, ...]
    port: int
    names: tuple[str, ...]
    shown: str
    private: bool

    def hosts(self, scheme: str) -> set[str]:
        """What the Host header of a request to it may be."""
        plain = {bracketed(name) for name in self.names}
        usual = self.port == {"http": 80, "https": 443}[scheme]
        return {f"{name}:{self.port}" for name in plain} | (plain if usual else set())

    def address(self, scheme: str) -> str:
        return f"{scheme}://{bracketed(self.shown)}:{self.port}/"

    def close(self) -> None:
        for each in self.sockets:
            each.close()


def bracketed(name: str) -> str:
    """As a host in an address."""
    return f"[{name}]" if ":" in name else name


def bind(host: str, port: int, more: Sequence[str] = ()) -> Place:
    """Sockets at a host and a port; 0 is a free one. more: names that the server has besides.

    Raises InputError for a host that is no name or not this machine's, a port that is taken or not allowed, and names
    that are none.
    """
    host, more = host.removeprefix("[").removesuffix("]"), [_checked(name) for name in more]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, socket.gaierror) else "no name of a host"
        raise InputError(f"--host {host[:80]}: is not known ({why})") from None
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            taken = sockets[0].getsockname()[1] if sockets else port
            sockets.append(_bound(family, (address[0], taken, *address[2:]), host, taken))
    except InputError:
        for each in sockets:
            each.close()
        raise
    addresses = [str(each.getsockname()[0]) for each in sockets]
    everywhere = any(ipaddress.ip_address(_scopeless(a)).is_unspecified for a in addresses)
    private = all(ipaddress.ip_address(_scopeless(a)).is_loopback for a in addresses)
    heard = {6 if each.family == socket.AF_INET6 else 4 for each in sockets}
    mine = own_names() if everywhere else () if private else addresses
    names = dict.fromkeys([*map(plain_name, [*LOCAL, *mine, *(() if everywhere else (host,))]), *more])
    alone = LOCAL[1] if 4 in heard else LOCAL[2]
    reached = (name for name in mine if _version(name) in (None, *heard))
    shown = next(reached, alone) if everywhere else host
    return Place(tuple(sockets), sockets[0].getsockname()[1], tuple(names), shown, private)


def _bound(family: int, address: tuple[object, ...], host: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        # On Windows the usual one would let a second server in.
        alone = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
        made.setsockopt(socket.SOL_SOCKET, alone, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(128)
    except OSError as error:
        made.close()
        told = {
            errno.EADDRINUSE: f"--port {port}: another program has it: name another, or 0 for a free one",
            errno.EADDRNOTAVAIL: f"--host {host}: is no address of this machine",
            errno.EACCES: f"--port {port}: is not allowed to you: name one above 1023",
        }
        line = told.get(error.errno or 0, f"--host {host} --port {port}: cannot be used ({error.strerror})")
        raise InputError(line) from None
    return made


def own_names() -> list[str]:
    """The addresses by which others reach this machine, the likeliest first, and its name."""
    found: list[str] = []
    for other in OTHERS:
        family = socket.AF_INET6 if ":" in other else socket.AF_INET
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((other, 9))
            found.append(str(probe.getsockname()[0]))
    name = socket.gethostname().lower()
    with suppress(OSError, UnicodeError):
        found += [str(row[4][0]) for row in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    names = [name, *([f"{name}.local"] if name and "." not in name else [])]
    found += [each for each in names if _is_name(each)]
    return [each for each in dict.fromkeys(map(_scopeless, found)) if each not in LOCAL]


def _version(name: str) -> int | None:
    """4 or 6 of an address, None of a name."""
    with suppress(ValueError):
        return ipaddress.ip_address(name).version
    return None


def _scopeless(address: str) -> str:
    return address.partition("%")[0]


def _is_name(name: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    parts = name.split(".")
    good = all(0 < len(p) <= 63 and p.replace("-", "").replace("_", "").isalnum() and p.isascii() for p in parts)
    return good and len(name) <= 253


def _checked(name: str) -> str:
    """As `plain_name`. Raises InputError for what is no name."""
    plain = plain_name(name.removeprefix("[").removesuffix("]"))
    if not _is_name(plain):
        raise InputError(f"--names {name[:80]!r}: is no name of a host, and no address")
    return plain


def plain_name(name: str) -> str:
    """In small letters; an address in its short form."""
    plain = _scopeless(name.lower())
    with suppress(ValueError):
        return str(ipaddress.ip_address(plain))
    return plain


def beyond(names: Collection[str]) -> list[str]:
    """Names and addresses that others than this machine know it by."""
    return [name for name in names if name not in LOCAL and not name.startswith("127.")]
