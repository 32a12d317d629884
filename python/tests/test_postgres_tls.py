"""TLS to PostgreSQL: which servers each ``sslmode`` accepts.

The server of the tests need not know TLS, so one that does stands in front of it, with a certificate made here.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import os
import ssl
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg.conninfo import conninfo_to_dict

from cacheness import Cache, CacheConfig
from cacheness.errors import CacheDeniedError, CacheError, CacheUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADDRESS = os.environ.get("CACHENESS_TEST_POSTGRES_URL", "")

#: What a client sends first if it wants TLS.
SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)


class Authority:
    """Signs certificates."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = directory / f"{name}.pem"
        self._write(self.certificate, self._signed(self._name, self._key.public_key(), []))

    def _signed(self, subject: x509.Name, key: Any, names: list[x509.GeneralName]) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    @staticmethod
    def _write(path: Path, certificate: x509.Certificate) -> None:
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, name: str) -> ssl.SSLContext:
        """What a server of this name shows."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(name))]
        except ValueError:
            names = [x509.DNSName(name)]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        chain, secret = self._directory / "server.pem", self._directory / "server.key"
        self._write(chain, self._signed(subject, key.public_key(), names))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, secret)
        return context


class Front:
    """Speaks TLS with clients, and plainly with the server of the tests."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        #: The connections that were encrypted, and those that were not.
        self.encrypted = self.plain = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result()
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that refuses the certificate breaks the connection.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            first = await reader.readexactly(8)
            if first == SSL_REQUEST:
                writer.write(b"N" if self._context is None else b"S")
                await writer.drain()
                if self._context is not None:
                    await writer.start_tls(self._context)
                first = b""
            # The first message, and with it any password, comes after that.
            first += await reader.readexactly(4)
            encrypted = writer.get_extra_info("ssl_object") is not None
            self.encrypted += encrypted
            self.plain += not encrypted
            await self._pass_on(first, reader, writer)
        writer.close()

    async def _pass_on(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = conninfo_to_dict(ADDRESS)
        host, port = str(found.get("host") or "127.0.0.1"), int(found.get("port") or 5432)
        if host.startswith("/"):
            other = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            other = await asyncio.open_connection(host, port)
        other[1].write(first)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while chunk := await source.read(1 << 16):
                    sink.write(chunk)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, other[1]), pump(other[0], writer))

    def close(self) -> None:
        """Ends the server and its thread."""
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def url(self, **options: str) -> str:
        """The address of the database behind it."""
        found = conninfo_to_dict(ADDRESS)
        user, password = quote(str(found.get("user") or "postgres")), found.get("password")
        secret = f":{quote(str(password))}" if password else ""
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{found.get('dbname') or 'postgres'}?{query}"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def front(authority: Authority) -> Iterator[Front]:
    front = Front(authority.server("127.0.0.1"))
    yield front
    front.close()


def works(place: Path, schema: str, url: str) -> None:
    """Puts and gets over a connection to this address."""
    options = {"connection_url": url, "schema": schema}
    with Cache(
        CacheConfig(cache_dir=str(place), metadata_backend="postgresql", metadata_backend_options=options)
    ) as cache:
        cache.put([1, 2], a=1)
        assert cache.get(a=1) == [1, 2]


def test_a_trusted_server(tmp_path: Path, schema: str, front: Front, authority: Authority) -> None:
    """Each mode works, over an encrypted connection; without a check, no certificate of an authority is needed."""
    certificate = str(authority.certificate)
    for mode in ("prefer", "require"):
        works(tmp_path / "cache", schema, front.url(sslmode=mode))
    for mode in ("verify-ca", "verify-full"):
        works(tmp_path / "cache", schema, front.url(sslmode=mode, sslrootcert=certificate))
    assert front.encrypted >= 4
    assert front.plain == 0


def test_another_authority_is_refused(tmp_path: Path, schema: str, front: Front) -> None:
    """A certificate that another authority has signed, and one that the system does not trust, say so at once."""
    other = Authority(tmp_path, "other")
    for mode in ("verify-ca", "verify-full"):
        for options in ({"sslrootcert": str(other.certificate)}, {}):
            with pytest.raises(CacheDeniedError, match="certificate") as caught:
                works(tmp_path / "cache", schema, front.url(sslmode=mode, **options))
            assert "sslrootcert" in str(caught.value.hint)
    assert front.encrypted == 0


def test_another_host_is_refused(tmp_path: Path, schema: str, authority: Authority) -> None:
    """The name in the certificate counts for ``verify-full`` alone."""
    front = Front(authority.server("db.example"))
    try:
        certificate = str(authority.certificate)
        works(tmp_path / "cache", schema, front.url(sslmode="verify-ca", sslrootcert=certificate))
        with pytest.raises(CacheDeniedError, match="certificate"):
            works(tmp_path / "cache", schema, front.url(sslmode="verify-full", sslrootcert=certificate))
    finally:
        front.close()


def test_a_server_without_tls(tmp_path: Path, schema: str, authority: Authority) -> None:
    """Who asks for TLS does not go on without it."""
    front = Front(None)
    try:
        works(tmp_path / "cache", schema, front.url(sslmode="prefer"))
        works(tmp_path / "cache", schema, front.url(sslmode="disable"))
        before = front.plain
        for mode in ("require", "verify-full"):
            with pytest.raises(CacheError, match="TLS") as caught:
                works(tmp_path / "cache", schema, front.url(sslmode=mode, sslrootcert=str(authority.certificate)))
            assert not isinstance(caught.value, CacheUnavailableError)
        assert front.plain == before
    finally:
        front.close()


def test_a_root_certificate_that_is_none(tmp_path: Path, schema: str, front: Front) -> None:
    """A file without certificates is named."""
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(CacheError, match=path.name):
            works(tmp_path / "cache", schema, front.url(sslmode="verify-full", sslrootcert=str(path)))
