"""Certificates for https: one that is named, or one of its own making, which is kept for this user."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from e2gan.app.addresses import plain_name
from e2gan.core.errors import InputError
from e2gan.core.files import read_bytes

DAYS = 397  # the longest that browsers take
SPARE = datetime.timedelta(days=7)  # before its end it is made anew
MOST_BYTES = 2**20
FILE, KEY = "certificate.pem", "key.pem"


@dataclass(frozen=True)
class Certificate:
    """Files in PEM. fingerprint: SHA-256 of the certificate, in pairs of hexadecimal digits, as browsers show it."""

    file: Path
    key: Path
    fingerprint: str

    def context(self) -> ssl.SSLContext:
        """For a server: TLS 1.2 and later. Raises InputError where the key is not the certificate's, or has a
        passphrase."""

        def no_passphrase() -> str:
            raise InputError(f"--key {self.key}: has a passphrase, which is not asked for: give the key without one")

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.file, self.key, password=no_passphrase)
        except ssl.SSLError as error:
            why = "is not that of the certificate" if "MISMATCH" in str(error.reason) else "is no private key in PEM"
            raise InputError(f"--key {self.key}: {why}") from None
        except OSError as error:
            raise InputError(f"--cert {self.file}, --key {self.key}: cannot be read ({error.strerror})") from None
        return context


def named_certificate(file: Path, key: Path) -> Certificate:
    """A certificate and its key that the user has. Raises InputError where they are none, or the time is not its."""
    try:
        found = x509.load_pem_x509_certificates(read_bytes(file, MOST_BYTES))[0]
    except ValueError as error:
        if isinstance(error, InputError):
            raise InputError(f"--cert {error}") from None
        raise InputError(f"--cert {file}: is no certificate in PEM") from None
    now = datetime.datetime.now(datetime.UTC)
    if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
        first, last = found.not_valid_before_utc.date(), found.not_valid_after_utc.date()
        raise InputError(f"--cert {file}: is valid from {first} to {last}, not today")
    return Certificate(file, key, _fingerprint(found))


def own_certificate(names: Collection[str], place: Path | None = None) -> Certificate:
    """A certificate that is signed by itself, for these names and addresses: the one that was made before, as long as
    it is for them and valid, since a browser remembers that it was let through; else a new one.

    place: where it lies; default: `own_place`. The key's file is the user's alone. Raises InputError where it cannot be
    written.
    """
    place = place or own_place()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (kept := _kept(place, names)) is None:
            kept = _make(place, names)
    except OSError as error:
        raise InputError(f"no certificate can be kept in {place} ({error.strerror}): name one with --cert") from None
    return Certificate(place / FILE, place / KEY, _fingerprint(kept))


def own_place() -> Path:
    """A folder of this user's: on Linux below $XDG_DATA_HOME or ~/.local/share."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "e2gan" / "app"


def _kept(place: Path, names: Collection[str]) -> x509.Certificate | None:
    """The former certificate, if it will do; not where somebody else could read its key."""
    file, key = place / FILE, place / KEY
    if not file.is_file() or not key.is_file():
        return None
    if os.name == "posix" and (key.stat().st_mode & 0o077 or key.stat().st_uid != os.getuid()):
        return None
    try:
        found = x509.load_pem_x509_certificate(read_bytes(file, MOST_BYTES))
        Certificate(file, key, "").context()
        listed = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return None
    now = datetime.datetime.now(datetime.UTC)
    good = found.not_valid_before_utc <= now < found.not_valid_after_utc - SPARE
    has = {*listed.get_values_for_type(x509.DNSName), *map(str, listed.get_values_for_type(x509.IPAddress))}
    return found if good and set(map(plain_name, names)) <= has else None


def _make(place: Path, names: Collection[str]) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "e2gan app")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # for clocks that are late
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in sorted(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    for name in (FILE, KEY):
        (place / name).unlink(missing_ok=True)  # its mode may be another
    private = os.open(place / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(private, "wb") as file:
        file.write(key.private_bytes(kind, form, serialization.NoEncryption()))
    (place / FILE).write_bytes(made.public_bytes(kind))
    return made


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()
