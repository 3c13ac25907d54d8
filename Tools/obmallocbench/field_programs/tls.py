"""TLS: many connections on loopback are open at once, answer, and are closed.

After reports on servers and crawlers whose memory stays at the peak number of connections.
"""
import datetime
import ipaddress
import socket
import ssl
from pathlib import Path

import phases

HOST = "127.0.0.1"
THREADS = 4                 # that serve, and as many that connect
BODY = b"body " * 20_000


def prepare(_: int, folder: Path) -> None:
    """Write a key and a certificate for this host, signed by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=1))
                   .add_extension(x509.SubjectAlternativeName(
                       [x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
                   .sign(key, hashes.SHA256()))
    (folder / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption()))
    (folder / "certificate.pem").write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM))


def serve(listener: socket.socket, context: ssl.SSLContext, count: int, held: list) -> None:
    """Accept so many connections, and answer one request of each."""
    for _ in range(count):
        connection, _ = listener.accept()
        secured = context.wrap_socket(connection, server_side=True)
        request = secured.recv(1 << 14)
        secured.sendall(request + BODY)
        held.append((secured, request))


def fetch(port: int, context: ssl.SSLContext, numbers: range, held: list) -> None:
    """Open a connection for each number, one after the other, and read its answer."""
    for number in numbers:
        secured = context.wrap_socket(socket.create_connection((HOST, port)), server_hostname=HOST)
        secured.sendall(b"request %d " % number)
        answer = bytearray()
        while not answer.endswith(BODY):
            answer += secured.recv(1 << 14)
        held.append((secured, answer))


def work(connections: int, folder: Path) -> list[int]:
    """Have threads open all at once, then close them; return the lengths of some answers."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    client = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
    held: list = []
    with socket.create_server((HOST, 0), backlog=THREADS) as listener:
        port = listener.getsockname()[1]
        parts = [range(first, connections, THREADS) for first in range(THREADS)]
        phases.in_threads(*((serve, listener, server, len(numbers), held) for numbers in parts),
                          *((fetch, port, client, numbers, held) for numbers in parts))
    assert len(held) == 2 * connections
    for secured, _ in held:
        secured.close()
    return [len(answer) for _, answer in held[::40]]


phases.run("tls", work, {"connections": 400}, prepare)
