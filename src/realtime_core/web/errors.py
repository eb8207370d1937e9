"""How refusals leave by HTTP: JSON with a code, a message and the field; never a stack trace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from realtime_core.errors import RequestError
from realtime_core.logs import get_logger

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
M = TypeVar("M", bound="Body")

NOT_FOUND = RequestError(404, "not_found", "there is nothing at this path")
TOO_LARGE = RequestError(413, "too_large", "the body is larger than 16 KiB")

BODY_TIMEOUT_S = 10.0

log = get_logger("web")


class Body(BaseModel):
    """A request's JSON body: camelCase, strict types, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )


def error_response(error: RequestError) -> web.Response:
    """Return the JSON answer that tells of ``error``."""
    body = {"error": {"code": error.code, "message": error.message, "field": error.field}}
    after_s = error.retry_after_s
    headers = None if after_s is None else {"Retry-After": str(after_s)}
    return web.json_response(body, status=error.status, headers=headers)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer each error with JSON; what nobody expected is logged and answered with 500."""
    try:
        return await handler(request)
    except RequestError as error:
        return error_response(error)
    except web.HTTPMethodNotAllowed as exc:
        allowed = ", ".join(sorted(exc.allowed_methods))
        response = error_response(RequestError(405, "method_not_allowed", f"use {allowed}"))
        response.headers["Allow"] = allowed
        return response
    except web.HTTPNotFound:
        return error_response(NOT_FOUND)
    except web.HTTPRequestEntityTooLarge:
        return error_response(TOO_LARGE)
    except web.HTTPException:
        raise
    except Exception:  # the border: nothing unexpected leaves by HTTP
        log.exception("Request failed", path=request.path)
        return error_response(RequestError(500, "internal", "this is our fault; it was logged"))


async def read_json(request: web.Request) -> bytes:
    """Return the request's body, which is said to be JSON.

    Raises:
        RequestError: 400, 408, 413 or 415.
    """
    if request.content_type != "application/json":
        raise RequestError(415, "unsupported_media_type", "send application/json")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise RequestError(408, "body_too_slow", "the body did not come in time") from None
    except (web.RequestPayloadError, ConnectionError):
        # Rubbish, or nobody there any more to be told.
        raise RequestError(400, "malformed_body", "the body cannot be read") from None


async def read_body(request: web.Request, model: type[M]) -> M:
    """Return the request's body as ``model``.

    Raises:
        RequestError: 400, 413 or 415; the field that is wrong is named.
    """
    try:
        data = json.loads(await read_json(request), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise RequestError(400, "malformed_json", "the body is not JSON") from None
    return parse_body(data, model)


def parse_body(data: object, model: type[M]) -> M:
    """Return ``data`` as ``model``.

    Raises:
        RequestError: 400, with the first field that is wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        message = first["msg"].removeprefix("Value error, ")
        raise RequestError(400, "invalid_request", message, field) from None


def _refuse(constant: str) -> object:
    raise ValueError(constant)
