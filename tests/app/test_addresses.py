from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from e2gan.app.addresses import Place, beyond, bind, own_names
from e2gan.core.errors import InputError
from tests.conftest import refused


@contextmanager
def bound(host: str, *names: str) -> Iterator[Place]:
    with closing(bind(host, 0, names)) as place:
        yield place


def test_this_machine_alone_by_default() -> None:
    with bound("127.0.0.1") as place:
        assert place.private
        assert place.address("http") == f"http://127.0.0.1:{place.port}/"
        assert place.hosts("http") == {f"{name}:{place.port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        with closing(socket.create_connection(("127.0.0.1", place.port))):
            pass


def test_everywhere_has_the_addresses_of_this_machine_and_the_names_given() -> None:
    with bound("0.0.0.0", "My-Machine.example", "[2001:DB8::0:7]") as place:
        assert not place.private
        assert {"127.0.0.1", "localhost", "my-machine.example", "2001:db8::7", *own_names()} <= set(place.names)
        assert f"[2001:db8::7]:{place.port}" in place.hosts("https")
        assert place.shown in place.names
        assert "0.0.0.0" not in place.names
        assert not {"127.0.0.1", "localhost", "::1"} & {*beyond(place.names)}


def test_what_is_shown_is_of_a_kind_that_is_listened_on() -> None:
    for host, kind in (("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6)):
        try:
            place = bind(host, 0)
        except InputError:
            pytest.skip(f"this machine has no {host}")
        with closing(place):
            shown = socket.getaddrinfo(place.shown, place.port, type=socket.SOCK_STREAM)
            assert kind in {row[0] for row in shown}, place.shown


def test_the_usual_port_need_not_be_named() -> None:
    assert Place((), 443, ("a.example",), "a.example", False).hosts("https") == {"a.example", "a.example:443"}
    assert Place((), 443, ("a.example",), "a.example", False).hosts("http") == {"a.example:443"}


def test_a_port_that_is_taken_and_a_host_that_is_not_here_are_refused() -> None:
    with bound("127.0.0.1") as place:
        assert f"--port {place.port}: another program has it" in refused(lambda: bind("127.0.0.1", place.port))
    assert "no address of this machine" in refused(lambda: bind("192.0.2.1", 0))
    assert "is not known" in refused(lambda: bind("no..host", 0))
    assert "--host" in refused(lambda: bind("x" * 300, 0))
    for name in ("a b", "http://a", "a/b", "a:80", "", "\u00e9.example", "*"):
        assert "--names" in refused(lambda name=name: bind("127.0.0.1", 0, [name])), name


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_ipv6() -> None:
    with bound("::1") as place:
        assert place.private
        assert place.address("http") == f"http://[::1]:{place.port}/"
