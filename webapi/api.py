"""flask-smorest with our bodies and our errors: schemas check what came, one table says what is answered."""

import json
from collections.abc import Callable
from copy import deepcopy
from functools import cached_property, wraps
from typing import Any, NoReturn, ParamSpec

import flask_smorest
import marshmallow as ma
from flask import Flask, Request, Response, request
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException

from dialects import plainjson
from dialects.errors import Error
from dialects.fields import invalid
from tasks import strictjson
from tasks.errors import InvalidField
from webapi import body, errors, shapes
from webapi.body import Limits

P = ParamSpec("P")
View = Callable[P, Any]


_SENT = frozenset({"POST", "DELETE"})  # with these a client may send something
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_ERROR_HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


class _Parser(FlaskParser):
    """Strict bodies, and our error for whatever doesn't fit a schema."""

    DEFAULT_UNKNOWN_BY_LOCATION = FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION | {"json": ma.RAISE, "query": ma.RAISE}

    def load_json(self, req: Request, schema: ma.Schema) -> Any:  # noqa: ARG002 - webargs' signature
        return body.read(req)

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        """Whatever the schema, as for bodies: nothing that PostgreSQL can't keep."""
        for name, value in req.args.items(multi=True):
            if not (plainjson.is_storable(name) and plainjson.is_storable(value)):
                raise InvalidField(plainjson.shown(name)[:200], "NUL and lone surrogates can't be accepted")
        return super().load_querystring(req, schema)

    def handle_error(self, error: ma.ValidationError, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002
        raise invalid(next(iter(error.messages_dict.values()))) from error


class Blueprint(flask_smorest.Blueprint):
    ARGUMENTS_PARSER = _Parser()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks += [_describe_limits, _leave_out_unsaid]
        self.shapes: list[Any] = []  # the typed dictionaries that its routes answer with
        self.tells: errors.Told | None = None  # how its dialect tells errors, where it has another than ours
        self.wrong = 422  # the status of a wrong field
        self.error: tuple[Any, str] = (Error, "application/json")  # the shape of those, and their content type

    def route(self, rule: str, **options: Any) -> Any:
        """A route that doesn't say what it `takes` takes nothing: where a client may send something, the fields of what
        it does send are refused."""
        register, sent = super().route(rule, **options), _SENT.intersection(options.get("methods", ()))

        def decorate(view: View[P]) -> Any:
            takes = "limits" in getattr(view, "_apidoc", {})
            return register(self._bare(view) if sent and not takes else view)

        return decorate

    def _bare(self, view: View[P]) -> View[P]:
        """Raises what `body.refuse_fields` does."""

        @wraps(view)
        def bare(*args: P.args, **kwargs: P.kwargs) -> Any:
            body.refuse_fields(request)
            return view(*args, **kwargs)

        return self.answers(400, 413, 415, self.wrong)(bare)

    def arguments(self, schema: Any, **options: Any) -> Any:
        """Of a schema's class one is made for all requests: webargs would make one for each."""
        return super().arguments(schema() if isinstance(schema, type) else schema, **options)

    def response(self, status: int, schema: Any = None, **options: Any) -> Any:
        return super().response(status, self._documented(schema), **options)

    def alt_response(self, status: int, schema: Any = None, **options: Any) -> Any:
        return super().alt_response(status, schema=self._documented(schema), **options)

    def _documented(self, schema: Any) -> Any:
        each = shapes.variants(schema) or (schema,)
        if not shapes.is_shape(each[0]):
            return schema
        self.shapes += each
        return shapes.reference(schema)

    def takes(self, limits: Limits) -> Callable[[View[P]], View[P]]:
        """Says how much the route's body may have; stands before what reads it. One that doesn't say takes nothing."""

        def decorate(view: View[P]) -> View[P]:
            @wraps(view)
            def limited(*args: P.args, **kwargs: P.kwargs) -> Any:
                limits.impose()
                return view(*args, **kwargs)

            limited._apidoc = deepcopy(getattr(view, "_apidoc", {})) | {"limits": limits}  # type: ignore[attr-defined]
            return limited

        return decorate

    def answers(self, *statuses: int) -> Callable[[View[P]], View[P]]:
        """Documents the errors that a route can answer with; where a tenant asks, its share can be used up."""

        def decorate(view: View[P]) -> View[P]:
            if 414 in statuses:  # gunicorn's own, before any of us is asked
                view = self.alt_response(414, schema={"type": "string"}, content_type="text/html")(view)
            own = {429} if 401 in statuses else set()
            shape, content_type = self.error
            for status in sorted({*statuses} - {414} | own):
                headers = _ERROR_HEADERS.get(status)
                view = self.alt_response(status, shape, headers=headers, content_type=content_type)(view)
            return view

        return decorate


def _describe_limits(doc: dict[str, Any], about: dict[str, Any], *, app: Flask, **_: Any) -> dict[str, Any]:
    """What is said on the page of how much a body may have."""
    if limits := about.get("limits"):
        most = limits.bytes(app.extensions["forebay"].settings)
        said = f"At most {most} bytes; as JSON, at most {limits.values} values, {plainjson.MAX_DEPTH} levels deep."
        doc.setdefault("requestBody", {})["description"] = said
    return doc


def _leave_out_unsaid(doc: dict[str, Any], about: dict[str, Any], **_: Any) -> dict[str, Any]:
    """flask-smorest has whatever takes arguments answer 422; some dialects have another status for it."""
    del about
    said = doc.get("responses", {})
    doc["responses"] = {status: response for status, response in said.items() if not isinstance(response, str)}
    return doc


class Api(flask_smorest.Api):
    ERROR_SCHEMA = shapes.reference(Error)
    DEFAULT_ERROR_RESPONSE_NAME = None

    def register_blueprint(self, blueprint: Blueprint, **options: Any) -> None:
        for name, schema in shapes.components(blueprint.shapes).items():
            if self.spec.components.schemas.setdefault(name, schema) != schema:
                raise ValueError(f"two schemas are called {name}")
        super().register_blueprint(blueprint, **options)

    def _register_pagination_header(self) -> None:
        """Ours is in the body."""

    def _openapi_json(self) -> Response:
        """The page, made once; who has it already is answered 304."""
        response = Response(self._page, mimetype="application/json")
        response.add_etag()
        response.make_conditional(request)
        return response

    @cached_property
    def _page(self) -> bytes:
        return json.dumps(self.spec.to_dict(), indent=2).encode()

    def handle_http_exception(self, error: HTTPException) -> Response:
        return errors.http(error)


def reply(value: Any, status: int = 200) -> Response:
    """A JSON answer, its members in the order they were given. Raises `ValueError` for what JSON doesn't have."""
    return Response(strictjson.dumps(value), status, mimetype="application/json")
