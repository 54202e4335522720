"""JSON bodies of API calls, read strictly and never deeper or larger than a call has any reason to be."""

from __future__ import annotations

import json
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

#: bytes of a call's body; deliveries have limits of their own
MOST_BYTES = 64 * 1024


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


class StrictJson(BaseParser):
    """UTF-8, no NaN, an object or a value; raises ParseError with what is wrong."""

    media_type = "application/json"
    most = MOST_BYTES

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        body = stream.read(self.most + 1)
        if len(body) > self.most:
            raise TooLarge(f"The body is larger than {self.most} bytes.")
        try:
            return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
        except UnicodeDecodeError as error:
            raise ParseError(f"The body is not UTF-8 at byte {error.start}.") from None
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}.") from None
