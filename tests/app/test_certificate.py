from __future__ import annotations

import datetime
import hashlib
import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import refused

pytest.importorskip("cryptography", reason="cryptography is missing: pip install 'e2gan[app]'")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from e2gan.app import certificate
from e2gan.app.certificate import named_certificate, own_certificate, own_place

NAMES = ("127.0.0.1", "::1", "localhost", "my-machine.local")


def served(context: ssl.SSLContext, name: str, trusted: Path) -> bytes:
    """The certificate that a client gets, who trusts this one alone and looks for the name."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with context.wrap_socket(connection, server_side=True):
                pass

        thread = threading.Thread(target=answer)
        thread.start()
        client = ssl.create_default_context(cafile=trusted)
        try:
            with (
                socket.create_connection(server.getsockname()[:2]) as plain,
                client.wrap_socket(plain, server_hostname=name) as secure,
            ):
                return secure.getpeercert(binary_form=True) or b""
        finally:
            thread.join()


def test_one_of_its_own_making_is_for_all_names_and_has_the_fingerprint_that_is_told(tmp_path: Path) -> None:
    made = own_certificate(NAMES, tmp_path / "place")
    (found,) = {served(made.context(), name, made.file) for name in NAMES}
    assert hashlib.sha256(found).hexdigest() == made.fingerprint.replace(":", "").lower()
    assert len(made.fingerprint.split(":")) == 32
    parsed = x509.load_der_x509_certificate(found)
    assert parsed.not_valid_after_utc - parsed.not_valid_before_utc < datetime.timedelta(days=398)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_its_key_is_the_users_alone_and_made_anew_where_others_could_read_it(tmp_path: Path) -> None:
    place = tmp_path / "place"
    made = own_certificate(NAMES, place)
    assert made.key.stat().st_mode & 0o777 == 0o600
    assert place.stat().st_mode & 0o777 == 0o700
    made.key.chmod(0o644)
    again = own_certificate(NAMES, place)
    assert again.fingerprint != made.fingerprint
    assert again.key.stat().st_mode & 0o777 == 0o600


def test_it_is_kept_as_long_as_it_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = own_certificate(NAMES, tmp_path)
    assert own_certificate(NAMES[:2], tmp_path) == own_certificate(NAMES, tmp_path) == made
    more = own_certificate([*NAMES, "other.example"], tmp_path)
    assert more.fingerprint != made.fingerprint
    monkeypatch.setattr(certificate, "SPARE", datetime.timedelta(days=1000))  # as if it ended soon
    assert own_certificate(NAMES, tmp_path).fingerprint != more.fingerprint
    made.file.write_text("no certificate")
    monkeypatch.undo()
    assert served(own_certificate(NAMES, tmp_path).context(), "localhost", made.file)


def test_its_place_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert own_place().is_relative_to(tmp_path)
    (tmp_path / "file").write_text("")
    assert "name one with --cert" in refused(lambda: own_certificate(NAMES, tmp_path / "file/place"))


def test_named_ones_that_will_not_do_are_refused_in_one_line(tmp_path: Path) -> None:
    good, other = own_certificate(NAMES, tmp_path / "a"), own_certificate(NAMES, tmp_path / "b")
    assert named_certificate(good.file, good.key) == good
    assert "is not that of the certificate" in refused(lambda: named_certificate(good.file, other.key).context())
    assert "no private key" in refused(lambda: named_certificate(good.file, good.file).context())
    assert "no certificate in PEM" in refused(lambda: named_certificate(good.key, good.key))
    nothing = tmp_path / "nothing.pem"
    assert str(nothing) in refused(lambda: named_certificate(nothing, good.key))
    assert str(nothing) in refused(lambda: named_certificate(good.file, nothing).context())
    key = serialization.load_pem_private_key(good.key.read_bytes(), None)
    form, kind = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    locked = tmp_path / "locked.pem"
    locked.write_bytes(key.private_bytes(kind, form, serialization.BestAvailableEncryption(b"secret")))
    assert "passphrase" in refused(lambda: named_certificate(good.file, locked).context())
    late = tmp_path / "late.pem"
    late.write_bytes(of_2020(key))
    assert "not today" in refused(lambda: named_certificate(late, good.key))


def of_2020(key: Any) -> bytes:
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    builder = builder.not_valid_after(datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
