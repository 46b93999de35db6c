"""A visitor with a browser: keeps cookies for the paths and schemes that they are for, follows redirects, and sends forms."""

from __future__ import annotations

import email.message
import uuid
from collections.abc import Mapping
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import Request

from hosted import Answer, Site


class Forms(HTMLParser):
    """The forms of a page, each with its attributes and the values of its fields."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[dict[str, str], dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append((attributes, {}))
        elif tag in ("input", "textarea") and self.found and "name" in attributes:
            if attributes.get("type") in ("radio", "checkbox") and "checked" not in attributes:
                self.found[-1][1].setdefault(attributes["name"], "")
            else:
                self.found[-1][1][attributes["name"]] = attributes.get("value", "")


class Browser:
    """``secure``: by way of the proxy in front of the web server, which speaks TLS."""

    def __init__(self, site: Site, host: str = "www.example.test", *, secure: bool = False) -> None:
        self.site = site
        self.prefix = f"/~{site.owner}/{site.name}"
        self.base = f"{'https' if secure else 'http'}://{host}{self.prefix}/"
        self.cookies = CookieJar()

    def open(self, path: str = "/", *, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """One page; ``path`` is below the site, or a URL that an answer has given."""
        url = urljoin(self.base, path if "~" in path else path.lstrip("/"))
        parts = urlsplit(url)
        request = Request(url)
        self.cookies.add_cookie_header(request)
        if cookie := request.get_header("Cookie"):
            headers["Cookie"] = cookie
        if parts.scheme == "https":
            headers["X-Forwarded-Proto"] = "https"
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        answer = self.site.container.visit(target, parts.netloc, method=method, body=body, **headers)
        self.cookies.extract_cookies(_Response(answer), request)  # type: ignore[arg-type]
        return Answer(answer.status, answer.headers, answer.body, url)

    def follow(self, answer: Answer) -> Answer:
        """Where the answer leads to, to the end."""
        while answer.status in (301, 302, 303, 307):
            answer = self.open(urljoin(answer.url, answer.headers["Location"]))
        return answer

    def send(self, page: Answer, files: Mapping[str, tuple[str, bytes]] | None = None, **fields: str) -> Answer:
        """Fill in the page's first form that has these fields, and follow; what the form hides goes along."""
        wanted = {*fields, *(files or {})}
        attributes, values = next(form for form in Forms(page.text).found if wanted <= set(form[1]))
        values = {name: value for name, value in values.items() if name not in wanted} | fields
        url = urljoin(page.url, attributes.get("action") or page.url)
        body, kind = multipart(values, files) if files else (urlencode(values).encode(), "application/x-www-form-urlencoded")
        return self.follow(self.open(url, method=attributes["method"].upper(), body=body, Content_Type=kind, Referer=page.url))

    def paths(self) -> dict[str, str]:
        """Its cookies, each with the path that it is sent to."""
        return {cookie.name: cookie.path for cookie in self.cookies}


class _Response:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def info(self) -> email.message.Message:
        return self._answer.headers


def multipart(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]]) -> tuple[bytes, str]:
    """A form with files, and its content type."""
    boundary = uuid.uuid4().hex
    parts: list[Any] = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts += [(f'name="{name}"; filename="{file}"', content) for name, (file, content) in files.items()]
    body = b"".join(f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts)
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
