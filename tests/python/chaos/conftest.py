"""A server that listens on TCP, which the rig's does not, and a proxy before it."""

import pytest
from psycopg.conninfo import make_conninfo

from arvo_plpg import embedded
from arvo_plpg.schema import migrate
from chaos.cluster import free_port
from chaos.proxy import Proxy


@pytest.fixture(scope="session")
def address():
    """Connection string of the server's superuser, by way of a port."""

    def make(port):
        return make_conninfo(host="127.0.0.1", port=port, user="postgres", dbname="postgres")

    return make


@pytest.fixture(scope="module")
def port(address):
    """Port of a server whose database is migrated."""
    number = free_port()
    with embedded.start(options=("listen_addresses=127.0.0.1", f"port={number}")):
        migrate(address(number))
        yield number


@pytest.fixture
def proxy(port):
    with Proxy(port) as running:
        yield running


@pytest.fixture
def through(proxy, address):
    return address(proxy.port)
