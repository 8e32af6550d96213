"""What the file says of TLS, as OpenSSL's context; what Python's `ssl` cannot do is refused."""

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporter.source import nearest, shown
from exporter.webconfig.part import Part

_UNSAFE = "is not safe and not offered: write TLS12 or TLS13"
_UNCHECKED = (
    "cannot be had, because Python asks for no certificate that it does not check: "
    "write VerifyClientCertIfGiven or RequireAndVerifyClientCert"
)
_MARK = "-----BEGIN"
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENTS = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_REFUSED_CLIENTS = dict.fromkeys(
    ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert"), _UNCHECKED
)
_CURVES = {
    "X25519": "X25519",
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
}
# Go's names, in Go's order, by OpenSSL's. Those of TLS 1.3 have no OpenSSL name here: neither Go
# nor Python lets anyone choose among them.
_CIPHERS = {
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}


@dataclass(frozen=True, slots=True)
class Tls:
    """What there is of TLS.

    Attributes:
        context: for OpenSSL; None means plain HTTP.
        clients: whether certificates are asked of clients.
        sans: the names of which a client's certificate needs one; none means any.
    """

    context: ssl.SSLContext | None = None
    clients: ssl.VerifyMode = ssl.CERT_NONE
    sans: frozenset[str] = frozenset()


def read_tls(part: Part) -> Tls:
    """Reads `tls_server_config`; what is wrong is in the part's problems."""
    if not part:
        return Tls()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # A client that would rather speak HTTP/2 learns here that it is HTTP/1.1.
    context.set_alpn_protocols(["http/1.1"])
    _read_certificate(part, context)
    _read_clients(part, context)
    _read_versions(part, context)
    _read_ciphers(part, context)
    _read_curve(part, context)
    sans = frozenset(part.texts("client_allowed_sans"))
    if sans and context.verify_mode != ssl.CERT_REQUIRED:
        part.wrong(
            "client_allowed_sans",
            "needs certificates: write client_auth_type: RequireAndVerifyClientCert",
        )
    part.finish()
    return Tls(context, context.verify_mode, sans)


def _read_certificate(part: Part, context: ssl.SSLContext) -> None:
    certificate, key = _pem(part, "cert", needed=True), _pem(part, "key", needed=True)
    if not certificate or not key:
        return
    if not _is_certificate(certificate[1]):
        part.wrong(certificate[0], "not a certificate in PEM")
        return
    try:
        with _path(certificate[1]) as first, _path(key[1]) as second:
            # Without a password OpenSSL would ask for it on the terminal.
            context.load_cert_chain(first, second, password="")
    except ssl.SSLError as error:
        name, told = _REFUSALS.get(error.reason, _NO_KEY)
        part.wrong((certificate if name == "cert" else key)[0], told)
    except OSError as error:
        part.wrong(key[0], f"cannot be handed to OpenSSL: {error.strerror}")


_NO_KEY = "key", "not a private key in PEM, or one with a passphrase: write it without"
_WEAK = "cert", "too weak for OpenSSL: use ECDSA, or RSA of 2048 bits, signed with SHA-256"
_REFUSALS = {
    "KEY_VALUES_MISMATCH": ("key", "not the key of this certificate"),
    "EE_KEY_TOO_SMALL": _WEAK,
    "CA_KEY_TOO_SMALL": _WEAK,
    "CA_MD_TOO_WEAK": _WEAK,
}


def _read_clients(part: Part, context: ssl.SSLContext) -> None:
    mode = part.choice("client_auth_type", _CLIENTS, ssl.CERT_NONE, _REFUSED_CLIENTS)
    authorities = _pem(part, "client_ca", needed=False)
    if mode == ssl.CERT_NONE:
        if authorities and part.text("client_auth_type") in {"", "NoClientCert"}:
            part.wrong(
                authorities[0], "of no use: write client_auth_type: RequireAndVerifyClientCert"
            )
        return
    context.verify_mode = mode
    if not authorities:
        if not part.text("client_ca_file"):
            part.wrong("client_ca_file", "missing: name the authority of the clients' certificates")
        return
    if not _is_certificate(authorities[1]):
        part.wrong(authorities[0], "not a certificate in PEM")
        return
    context.load_verify_locations(cadata=_plain(authorities[1]))
    # As in the toolkit, an authority need not be a root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def _read_versions(part: Part, context: ssl.SSLContext) -> None:
    refused = dict.fromkeys(("TLS10", "TLS11"), _UNSAFE)
    lowest = part.choice("min_version", _VERSIONS, ssl.TLSVersion.TLSv1_2, refused)
    highest = part.choice("max_version", _VERSIONS, ssl.TLSVersion.TLSv1_3, refused)
    if lowest > highest:
        part.wrong("max_version", "below min_version: raise it, or leave it out")
        return
    context.minimum_version, context.maximum_version = lowest, highest


def _read_ciphers(part: Part, context: ssl.SSLContext) -> None:
    prefer = part.boolean("prefer_server_cipher_suites", default=True)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    if not prefer:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    names = part.texts("cipher_suites")
    unknown = [name for name in names if name not in _CIPHERS]
    for name in unknown:
        mend = nearest(name, _CIPHERS, "leave the list out for those that are safe")
        part.wrong("cipher_suites", f"{shown(name)} is not offered: {mend}")
    found = [_CIPHERS[name] for name in names if _CIPHERS.get(name)]
    if found:
        _set(part, "cipher_suites", context.set_ciphers, ":".join(found))
    elif names and not unknown and context.minimum_version < ssl.TLSVersion.TLSv1_3:
        part.wrong("cipher_suites", "none is for TLS 1.2: add one, or write min_version: TLS13")


def _read_curve(part: Part, context: ssl.SSLContext) -> None:
    names = part.texts("curve_preferences")
    for name in names:
        if name not in _CURVES:
            mend = nearest(name, _CURVES, f"write {' or '.join(_CURVES)}")
            part.wrong("curve_preferences", f"{shown(name)} is not offered: {mend}")
            return
    if len(names) > 1:
        part.wrong("curve_preferences", "Python can set one: keep one, or leave the list out")
    elif names:
        _set(part, "curve_preferences", context.set_ecdh_curve, _CURVES[names[0]])


def _set(part: Part, name: str, take: Callable[[str], None], text: str) -> None:
    try:
        take(text)
    except (ssl.SSLError, ValueError):
        part.wrong(name, "this machine's OpenSSL has none of it: leave the list out")


def _pem(part: Part, name: str, *, needed: bool) -> tuple[str, bytes] | None:
    """The option that says it, and what it says: in the file itself, or in another one."""
    inline, file = part.text(name), part.text(f"{name}_file")
    if inline and file:
        part.wrong(name, f"{name} and {name}_file are both set: keep one")
    elif _MARK in file:
        part.wrong(f"{name}_file", f"PEM, not the name of a file: write it under {name}")
    elif inline:
        return name, inline.encode(errors="replace")
    elif file:
        try:
            return f"{name}_file", part.look.pem(part.look.directory / file)
        except OSError as error:
            part.wrong(f"{name}_file", f"{shown(file)} cannot be read: {error.strerror}")
        except ValueError:
            part.wrong(f"{name}_file", "not the name of a file")
    elif needed:
        part.wrong(f"{name}_file", f"missing: TLS needs it, or {name}")
    return None


def _is_certificate(pem: bytes) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=_plain(pem))
    except (ssl.SSLError, ValueError):
        return False
    return True


def _plain(pem: bytes) -> str:
    """Drops what people write around a certificate in their own language."""
    return pem.decode("ascii", errors="ignore")


@contextmanager
def _path(pem: bytes) -> Iterator[Path]:
    """Gives a path to bytes that are on no disk: Python takes a key from files alone."""
    number = os.memfd_create("pem")
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(pem)
        yield Path(f"/proc/self/fd/{number}")
    finally:
        os.close(number)
