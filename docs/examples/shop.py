#!/usr/bin/env python
"""A shop with a new basket for some: `python docs/examples/shop.py redis://127.0.0.1:6379/0 8080`."""

import sys
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from flagstore.client import Flags

with Flags(sys.argv[1], environment="production", group="shop") as flags:

    def shop(request: WSGIEnvironment, respond: StartResponse) -> list[bytes]:
        respond("200 OK", [("Content-Type", "text/plain")])
        new = flags.is_enabled("basket", request.get("HTTP_X_USER"), request.get("HTTP_X_EMAIL"))
        return [b"the new basket\n" if new else b"the old basket\n"]

    make_server("127.0.0.1", int(sys.argv[2]), shop).serve_forever()
