"""The page that Prometheus reads, on loopback only."""

from __future__ import annotations

import threading
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from nerv.errors import ErrorCode, ErrorInfo, NervError

ADDRESS = "127.0.0.1"
CLOSE_SECONDS = 5.0


class PortTaken(NervError):
    """Another process listens at the port."""


class Exposition:
    """Serves the registry on a thread of its own until :meth:`close`."""

    def __init__(self, registry: CollectorRegistry, port: int) -> None:
        """``port`` 0: any free one. Raises :class:`PortTaken`."""
        server: WSGIServer
        thread: threading.Thread
        try:
            server, thread = start_http_server(port, ADDRESS, registry)
        except OSError as error:
            raise PortTaken(
                ErrorInfo(
                    code=ErrorCode.CONFLICT,
                    reason=f"{ADDRESS}:{port} cannot be used: {error.strerror}",
                    field="actor.telemetry.settings.port",
                    fix="end the program that listens there, or set another port (0: any free one)",
                )
            ) from error
        self._server = server
        self._thread = thread

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(CLOSE_SECONDS)
