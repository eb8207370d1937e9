"""The control API: breaks things on demand. Not part of Gladia's API, and without a key.

======================================  =======================================================
``POST /_control/faults``               arms a fault, ``{"name": "cut", "code": 1011, …}``: 201;
                                        400 with ``errors`` if it makes no sense. The names and
                                        their parameters are in :mod:`gladia_emulator.faults`
``GET /_control/faults``                what is armed
``DELETE /_control/faults``             disarms everything: 204
``GET /_control/sessions``              all sessions, with what they received and said
======================================  =======================================================
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from pydantic import ValidationError

from gladia_emulator import documents
from gladia_emulator.faults import ArmedFault, Fault, FaultBook
from gladia_emulator.registry import Sessions


class ControlRoutes:
    """The handlers; ``arm`` lets a fault strike."""

    def __init__(
        self, sessions: Sessions, faults: FaultBook, arm: Callable[[Fault], ArmedFault]
    ) -> None:
        self._sessions, self._faults, self._arm = sessions, faults, arm

    def add_to(self, app: web.Application) -> None:
        """Register the handlers."""
        app.add_routes(
            [
                web.post("/_control/faults", self.post),
                web.get("/_control/faults", self.get),
                web.delete("/_control/faults", self.delete),
                web.get("/_control/sessions", self.sessions),
            ]
        )

    async def post(self, request: web.Request) -> web.Response:
        """Arm a fault."""
        try:
            armed = self._arm(Fault.model_validate_json(await request.read()))
        except ValidationError as exc:
            errors = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors()]
            return web.json_response({"errors": errors}, status=400)
        return web.json_response(_described(armed), status=201)

    async def get(self, request: web.Request) -> web.Response:
        """Show what is armed."""
        return web.json_response({"faults": [_described(each) for each in self._faults.armed]})

    async def delete(self, request: web.Request) -> web.Response:
        """Disarm everything."""
        self._faults.clear()
        return web.Response(status=204)

    async def sessions(self, request: web.Request) -> web.Response:
        """Show all sessions."""
        shown = [documents.overview(each) for each in self._sessions.values()]
        return web.json_response({"sessions": shown})


def _described(armed: ArmedFault) -> documents.Document:
    fault = armed.fault.model_dump(mode="json", exclude_unset=True)
    return {**fault, "struck": armed.struck}
