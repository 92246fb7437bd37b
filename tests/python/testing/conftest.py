"""The plugin's own fixtures, on the server of this session."""

import pytest


@pytest.fixture(scope="session")
def arvo_server(server):
    return server.dsn
