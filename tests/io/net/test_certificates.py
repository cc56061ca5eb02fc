import datetime as dt
import gc
import ssl
import weakref

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from realtime_proxy.errors import ConfigError
from realtime_proxy.net.certificates import Certificates, ClientAuthorities, server_context
from realtime_proxy.net.tls import TlsCodec


@pytest.fixture(scope="module")
def issue(authority, tmp_path_factory):
    """Writes a certificate for these names, as NAME.crt and NAME.key."""

    def make(folder, stem, *names):
        certificate = authority.issue_cert(*names)
        (folder / f"{stem}.key").write_bytes(certificate.private_key_pem.bytes())
        (folder / f"{stem}.crt").write_bytes(
            b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        )
        return folder / f"{stem}.crt", folder / f"{stem}.key"

    return make


def names_shown(server, authority, name):
    """The names in the certificate that a client gets who asks for a name; empty if refused."""
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    client_context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(incoming, outgoing, server_hostname=name)
    codec = TlsCodec(server, None)
    for _ in range(3):
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            codec.handshake(outgoing.read())
            incoming.write(codec.output())
    return [value for _, value in client.getpeercert()["subjectAltName"]]


def test_the_certificate_is_chosen_by_name(authority, issue, tmp_path):
    default = server_context(*issue(tmp_path, "default", "default.example"))
    folder = tmp_path / "more"
    folder.mkdir()
    issue(folder, "a.example", "a.example")
    issue(folder, "_.b.example", "*.b.example")
    issue(folder, "own.b.example", "own.b.example")
    default.sni_callback = Certificates(folder).choose
    for name, shown in [
        ("a.example", "a.example"),
        ("A.EXAMPLE", "a.example"),
        ("x.b.example", "*.b.example"),
        ("own.b.example", "own.b.example"),
        ("own.b.example", "own.b.example"),
        ("x.y.b.example", "default.example"),
        ("b.example", "default.example"),
        ("other.example", "default.example"),
        ("a" * 60 + ("." + "b" * 60) * 3, "default.example"),
        ("127.0.0.1", "default.example"),
        (None, "default.example"),
    ]:
        assert names_shown(default, authority, name) == [shown], name


def test_a_certificate_that_comes_later_is_found(authority, issue, tmp_path):
    default = server_context(*issue(tmp_path, "default", "default.example"))
    default.sni_callback = Certificates(tmp_path).choose
    assert names_shown(default, authority, "a.example") == ["default.example"]
    issue(tmp_path, "a.example", "a.example")
    assert names_shown(default, authority, "a.example") == ["a.example"]


def test_a_certificate_that_is_not_usable_is_passed_over(authority, issue, tmp_path):
    default = server_context(*issue(tmp_path, "default", "default.example"))
    issue(tmp_path, "a.example", "a.example")
    (tmp_path / "a.example.key").write_text("nonsense")
    default.sni_callback = Certificates(tmp_path).choose
    assert names_shown(default, authority, "a.example") == ["default.example"]


def test_names_never_lead_out_of_the_folder(issue, tmp_path):
    """As a name would have to be written for it: nothing checks them before us."""
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    default = server_context(*issue(tmp_path, "default", "default.example"))
    default.sni_callback = Certificates(folder).choose
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_bio(
        ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True
    )
    before = tls.context
    for name in ("../default", "..", "sub/../../default", ".hidden", "a" * 255, "a\0b"):
        assert default.sni_callback(tls, name, default) is None
    assert tls.context is before


def test_what_is_no_longer_used_is_gone_at_once(issue, tmp_path):
    context = server_context(*issue(tmp_path, "default", "default.example"))
    context.sni_callback = Certificates(tmp_path).choose
    gone = weakref.ref(context)
    gc.disable()
    try:
        del context
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("spoilt", ["missing", "nonsense", "of another"])
def test_unusable_files_are_refused_with_their_names(issue, tmp_path, spoilt):
    certificate, key = issue(tmp_path, "a", "a.example")
    if spoilt == "missing":
        key.unlink()
    elif spoilt == "nonsense":
        key.write_text("nonsense")
    else:
        key.write_bytes(trustme.CA().issue_cert("a.example").private_key_pem.bytes())
    with pytest.raises(ConfigError, match=r"a\.crt with .*a\.key"):
        server_context(certificate, key)


def test_only_http_is_agreed_upon(issue, tmp_path, authority):
    server = server_context(*issue(tmp_path, "a", "a.example"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="a.example")
    codec = TlsCodec(server, None)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    codec.handshake(outgoing.read())
    incoming.write(codec.output())
    client.do_handshake()
    assert client.selected_alpn_protocol() == "http/1.1"


def test_an_encrypted_key_is_refused_without_asking(issue, tmp_path):
    certificate, key = issue(tmp_path, "a", "a.example")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigError, match=r"can't use"):
        server_context(certificate, key)


def test_old_versions_are_refused(issue, tmp_path, authority):
    server = server_context(*issue(tmp_path, "a", "a.example"))
    assert server.minimum_version is ssl.TLSVersion.TLSv1_2


# -- clients' certificates -----------------------------------------------------------------

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture
def client_ca(tmp_path):
    """An authority for clients only, in `clients.pem`."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "clients.pem")
    return ca


@pytest.fixture
def listener(issue, tmp_path, client_ca):
    """Makes contexts that ask for certificates of `client_ca`; those by name do so, too."""
    del client_ca  # its file is there now
    files = issue(tmp_path, "default", "default.example")
    issue(tmp_path, "named.example", "named.example")

    def make(*, required=True):
        clients = ClientAuthorities(tmp_path / "clients.pem", required=required)
        context = server_context(*files, clients)
        context.sni_callback = Certificates(tmp_path, clients).choose
        return context

    return make


@pytest.fixture
def shake(authority):
    """Has a client with a certificate, or None, come to a listener; gives the listener's side.

    Raises ssl.SSLError as the listener does.
    """

    def make(server, certificate=None, version=ssl.TLSVersion.TLSv1_3, name="default.example"):
        context = ssl.create_default_context()
        context.minimum_version = context.maximum_version = version
        authority.configure_trust(context)
        if certificate is not None:
            certificate.configure_cert(context)
        ours, theirs = TlsCodec(server, None), TlsCodec(context, name)
        done = is_client_done = False
        records = b""
        while not done:
            is_client_done = is_client_done or theirs.handshake(records)
            done = ours.handshake(theirs.output())
            records = ours.output()
        return ours

    return make


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["default.example", "named.example"])
def test_a_client_shows_its_certificate(listener, shake, client_ca, version, name):
    certificate = client_ca.issue_cert("alice@clients.example", common_name="alice")
    shown = shake(listener(), certificate, version, name).client_certificate
    assert shown.common_name == "alice"
    assert shown.alternative_names == ("email:alice@clients.example",)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["default.example", "named.example"])
def test_a_client_without_certificate_is_refused(listener, shake, version, name):
    with pytest.raises(ssl.SSLError, match="did not return a certificate"):
        shake(listener(), None, version, name)


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("name", ["default.example", "named.example"])
@pytest.mark.parametrize("version", VERSIONS)
def test_certificates_of_others_are_refused(listener, shake, authority, required, name, version):
    """Of the very authority that has issued the server's, too: it is another matter."""
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(listener(required=required), authority.issue_cert("a.example"), version, name)


@pytest.mark.parametrize("version", VERSIONS)
def test_where_they_are_optional_clients_without_come_in(listener, shake, client_ca, version):
    server = listener(required=False)
    assert shake(server, None, version).client_certificate is None
    certificate = client_ca.issue_cert("alice@clients.example", common_name="alice")
    assert shake(server, certificate, version).client_certificate.common_name == "alice"


def test_expired_certificates_are_refused(listener, shake, client_ca):
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    certificate = client_ca.issue_cert("a.example", not_after=yesterday)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake(listener(), certificate)


def revocation_list(ca, *certificates):
    """A list of revoked certificates as PEM."""
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateRevocationListBuilder(
        issuer.subject, now - dt.timedelta(days=1), now + dt.timedelta(days=1)
    )
    for certificate in certificates:
        revoked = x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes())
        entry = x509.RevokedCertificateBuilder(revoked.serial_number, now)
        builder = builder.add_revoked_certificate(entry.build())
    key = serialization.load_pem_private_key(ca.private_key_pem.bytes(), None)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_revoked_certificates_are_refused(listener, shake, client_ca, tmp_path):
    good, bad = (client_ca.issue_cert("a@clients.example") for _ in range(2))
    with (tmp_path / "clients.pem").open("ab") as file:
        file.write(revocation_list(client_ca, bad))
    server = listener()
    assert shake(server, good).client_certificate is not None
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        shake(server, bad)


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_authorities_that_can_not_be_read(issue, tmp_path, content):
    files = issue(tmp_path, "a", "a.example")
    if content is not None:
        (tmp_path / "clients.pem").write_text(content)
    with pytest.raises(ConfigError, match=r"server\.tls\.client_ca: can't use .*clients\.pem"):
        server_context(*files, ClientAuthorities(tmp_path / "clients.pem"))
