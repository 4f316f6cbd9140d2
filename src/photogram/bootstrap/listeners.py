"""Takes the ports of a server, and says where it is found on this machine.

Hosts and ports come in; bound sockets come out, before anything is loaded or written.
"""

import contextlib
import socket
from ipaddress import ip_address

from photogram.core.errors import ConfigurationError
from photogram.core.settings import Settings


def listen(host: str, port: int) -> socket.socket:
    """Take a port.

    Raises:
        ConfigurationError: It cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(f"cannot listen on {host} port {port}: {reason}") from None


def listen_for_operators(
    settings: Settings,
) -> contextlib.AbstractContextManager[socket.socket | None]:
    """Take the operators' port, if they have one."""
    if settings.admin_port is None:
        return contextlib.nullcontext()
    return listen(settings.admin_host, settings.admin_port)


def local_url(host: str, port: int) -> str:
    """Where a client on this machine finds a server that listens on `host`, an IP address."""
    address = ip_address(host)
    if address.is_unspecified:  # "every address" is none that all clients can call
        address = ip_address("::1" if address.version == 6 else "127.0.0.1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"
