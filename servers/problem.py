"""Answers that are not success: application/problem+json, as RFC 9457 has it."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

PROBLEM_TYPE = "application/problem+json"


class Problem(Exception):
    """A request that gets an error response.

    `status` is the HTTP status, `detail` one sentence for the client, `headers` further header
    lines, `path` the field at fault (422 only).
    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: tuple[tuple[str, str], ...] = (),
        path: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.path = path

    def body(self) -> bytes:
        """The problem document. What a client sent is escaped to plain ASCII."""
        document = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail.encode("ascii", "backslashreplace").decode(),
        }
        if self.path is not None:
            document["path"] = self.path.encode("ascii", "backslashreplace").decode()
        return msgspec.json.encode(document)
