"""A ``run.fcgi`` that somebody wrote by hand: what it serves, and from where. Read, and never run.

Users' files follow two recipes, with variations: the application and its virtualenv beside ``run.fcgi``, or both in a
directory outside the web space that ``run.fcgi`` names. What such a file does is told from its syntax tree, statement by
statement. A statement that is not of a recipe may be one that the site needs, so it is an oddity, told by its line.
"""

from __future__ import annotations

import ast
import os
import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# What both recipes and their variations serve with; each is called with the app, and its object's run() serves.
_SERVERS = frozenset(
    f"{module}.WSGIServer" for module in ("flup.server.fcgi", "flup.server.fcgi_fork", "flup.server.fcgi_single", "flipflop", "fcgi")
)
_SERVER_MODULES = ("flup", "flipflop", "fcgi")
# Imported for the lines around the app; importing them does nothing to it.
_HARMLESS_MODULES = ("sys", "os", "site", "pathlib", "cgitb", "traceback", "logging", "importlib", "__future__")
# Called for their effect, which our runtime has too, or which is none: tracebacks in the log, Python 2's encoding.
_HARMLESS_CALLS = re.compile(r"cgitb\.enable|(importlib\.)?reload|sys\.setdefaultencoding")
_APP = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\([^\"\\\n]*\))?")
_PYTHON = re.compile(r"(.*)/bin/python[0-9.]*")
_SITE_PACKAGES = re.compile(r"(.*)/lib(?:64)?/python[0-9.]+/site-packages/?")
_ACTIVATE = re.compile(r"(.*)/bin/activate_this\.py")
# The last line of the file on which an oddity stands is quoted up to here.
_QUOTED = 60


@dataclass(frozen=True)
class Oddity:
    """What is special about the file, as a sentence's predicate ("gives WSGIServer the argument umask=18"), and in which line."""

    line: int
    what: str

    def sentence(self) -> str:
        return f"line {self.line} {self.what}" if self.line else f"it {self.what}"


@dataclass(frozen=True)
class Handmade:
    """What was recognised. ``app`` is as the setting takes it, empty when it is not known; ``code`` the directory that
    it is imported from. ``virtualenvs``: those that the file names, absolute, whether or not they are there."""

    app: str
    code: str
    virtualenvs: tuple[str, ...]
    oddities: tuple[Oddity, ...]


IsFile = Callable[[str], bool]


def recognise(content: bytes, site: Path, home: Path, is_file: IsFile = os.path.isfile) -> Handmade:
    """Read a ``run.fcgi``. Pure but for ``is_file``, which says where a module lies."""
    shebang = content.partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r")
    reader = _Reader(str(site), str(home), is_file)
    python = re.fullmatch(r"#!\s*(\S+)(\s+\S+)?\s*", shebang)
    interpreter = python[1] if python else ""
    match = _PYTHON.fullmatch(interpreter)
    if match and match[1] not in ("/usr", "/usr/local", ""):
        reader.virtualenvs.append(reader.absolute(match[1]))
    if not re.search(r"python|/env$", interpreter):
        named = f"names {interpreter} in its first line" if interpreter else "has no first line such as #!venv/bin/python"
        return Handmade("", str(site), tuple(reader.virtualenvs), (Oddity(0, f"is not a Python program: it {named}"),))
    try:
        tree = ast.parse(content)
    except SyntaxError as error:
        reader.odd(error.lineno or 1, f"is not Python 3: {_quoted(error.text or error.msg)}")
    except (ValueError, RecursionError) as error:
        reader.odd(0, f"is not Python: {error}")
    else:
        reader.read(tree.body)
        reader.conclude()
    return reader.result()


@dataclass
class _Reader:
    """Goes through the statements. ``names``: what each name in the file stands for, as a dotted name, ``module:object`` or
    a path; ``paths``: the directories put on ``sys.path``, with the line; ``served``: the apps given to a server, with the line."""

    site: str
    home: str
    is_file: IsFile
    virtualenvs: list[str] = field(default_factory=list)
    oddities: list[Oddity] = field(default_factory=list)
    imported: dict[str, str] = field(default_factory=dict)
    modules: dict[str, int] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    strings: dict[str, str] = field(default_factory=dict)
    apps: dict[str, str] = field(default_factory=dict)
    servers: dict[str, str] = field(default_factory=dict)
    paths: list[tuple[int, str]] = field(default_factory=list)
    served: list[tuple[int, str]] = field(default_factory=list)
    running: bool = False

    def odd(self, line: int, what: str) -> None:
        self.oddities.append(Oddity(line, what))

    def absolute(self, path: str) -> str:
        """suexec starts the file in the site's directory."""
        return posixpath.normpath(posixpath.join(self.site, path))

    def read(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            self._statement(statement)

    def conclude(self) -> None:
        """What only the whole file shows."""
        if not self.served and not self.oddities:
            self.odd(0, "serves no app: there is no WSGIServer(app).run() in it")
        elif self.served and not self.running and not self.oddities:
            self.odd(self.served[0][0], "makes a WSGIServer whose run() is never called")
        for line, other in self.served[1:]:
            if other != self.served[0][1]:
                self.odd(line, f"serves a second app, {other}")
        used = self.served[0][1].partition(":")[0] if self.served else ""
        for module, line in self.modules.items():
            if used and module != used and not used.startswith(f"{module}."):
                self.odd(line, f"imports {module}, which is not where the app comes from")
        code = self._code(used)
        for line, path in self.paths:
            if path not in (code, self.site):
                self.odd(line, f"puts {path} on the path, and the app is imported from {code}")

    def result(self) -> Handmade:
        app = self.served[0][1] if self.served else ""
        if app and not _APP.fullmatch(app):
            self.odd(self.served[0][0], f"serves {app}, which ocf_flask_app cannot say")
            app = ""
        code = self._code(app.partition(":")[0])
        return Handmade(app, code, tuple(dict.fromkeys(self.virtualenvs)), tuple(self.oddities))

    def _code(self, module: str) -> str:
        """The directory on the path that has the module; where none has, it may be an installed one."""
        candidates = [*(path for _, path in self.paths), self.site]
        top = module.partition(".")[0]
        found = (one for one in candidates if top and (self.is_file(f"{one}/{top}.py") or self.is_file(f"{one}/{top}/__init__.py")))
        # A package may lack its __init__.py.
        below = (one for one in candidates if module and self.is_file(f"{one}/{module.replace('.', '/')}.py"))
        return next(found, "") or next(below, "") or candidates[0]

    # Statements.

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._import(node)
        elif isinstance(node, ast.If) and _is_main(node.test) and not node.orelse:
            self.read(node.body)
        elif isinstance(node, ast.Try):
            self._try(node)
        elif isinstance(node, ast.With) and self._activates(node):
            pass
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            self._assign(node, node.targets[0], node.value)
        elif isinstance(node, ast.AugAssign) and _dotted(node.target) == "sys.path":
            self._add_paths(node.lineno, node.value)
        elif isinstance(node, ast.Expr):
            self._expression(node.lineno, node.value)
        elif not isinstance(node, ast.Pass):
            self._other(node)

    def _other(self, node: ast.stmt) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self.odd(node.lineno, f"defines {node.name}, which only run.fcgi has")
        else:
            self.odd(node.lineno, f"does something that no recipe has: {_quoted(ast.unparse(node))}")

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.imported[alias.asname or alias.name.partition(".")[0]] = alias.name if alias.asname else alias.name.partition(".")[0]
                self._module(node.lineno, alias.name)
            return
        if node.level:
            self.odd(node.lineno, f"imports from a package that run.fcgi is not in: {_quoted(ast.unparse(node))}")
            return
        module = node.module or ""
        self._module(node.lineno, module)
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(module)
            elif module.partition(".")[0] in (*_HARMLESS_MODULES, *_SERVER_MODULES):
                self.imported[alias.asname or alias.name] = f"{module}.{alias.name}"
            else:
                self.apps[alias.asname or alias.name] = f"{module}:{alias.name}"

    def _module(self, line: int, module: str) -> None:
        top = module.partition(".")[0]
        if top == "django":
            self.odd(line, "serves Django")
        elif top == "werkzeug":
            self.odd(line, f"imports {module}, for middleware around the app")
        elif top not in (*_HARMLESS_MODULES, *_SERVER_MODULES):
            self.modules.setdefault(module, line)

    def _try(self, node: ast.Try) -> None:
        """What is tried is done; what a handler does is done only when that fails."""
        self.read(node.body)
        self.read(node.orelse)
        for handler in node.handlers:
            for statement in handler.body:
                if isinstance(statement, (ast.Import, ast.ImportFrom)):
                    self._import(statement)
                elif not isinstance(statement, (ast.Pass, ast.Raise, ast.Expr)):
                    self._other(statement)
        for statement in node.finalbody:
            self._other(statement)

    def _assign(self, node: ast.Assign, target: ast.expr, value: ast.expr) -> None:
        name = _dotted(target)
        if isinstance(target, ast.Subscript):
            self._assign_item(node, target, value)
        elif name == "sys.path":
            self._add_paths(node.lineno, value)
        elif "." in name:
            what = "wraps the app in middleware" if name.endswith(".wsgi_app") else f"sets {name}"
            self.odd(node.lineno, f"{what}: {_quoted(ast.unparse(node))}")
        elif isinstance(value, ast.Call) and self._resolved(value.func) in _SERVERS:
            self.servers[name] = ""
            self._serve(value)
        else:
            self._assign_name(node, name, value)

    def _assign_name(self, node: ast.Assign, name: str, value: ast.expr) -> None:
        string = self._string(value)
        app = "" if string is not None else self._app(value)
        if string is not None:
            self.strings[name] = string
        elif app:
            self.apps[name] = app
        else:
            self.odd(node.lineno, self._strange(value) or f"does something that no recipe has: {_quoted(ast.unparse(node))}")

    def _assign_item(self, node: ast.Assign, target: ast.Subscript, value: ast.expr) -> None:
        name = _dotted(target.value)
        if name == "sys.path":
            self._add_paths(node.lineno, value)
        elif name in ("os.environ", "environ"):
            self._environment(node.lineno, target.slice)
        else:
            self.odd(node.lineno, f"does something that no recipe has: {_quoted(ast.unparse(node))}")

    def _environment(self, line: int, key: ast.expr) -> None:
        variable = self._string(key) or ast.unparse(key)
        if variable == "DJANGO_SETTINGS_MODULE":
            self.odd(line, "serves Django")
        else:
            self.odd(line, f"sets the environment variable {variable}, which ocf_flask_env can do")

    def _expression(self, line: int, value: ast.expr) -> None:
        if isinstance(value, ast.Constant):
            return
        if not isinstance(value, ast.Call):
            self.odd(line, f"does something that no recipe has: {_quoted(ast.unparse(value))}")
            return
        name = _dotted(value.func)
        if name in ("sys.path.insert", "sys.path.append", "sys.path.extend"):
            self._add_paths(line, value.args[-1] if value.args else value)
        elif name in ("site.addsitedir", "addsitedir") and value.args:
            self._add_paths(line, value.args[0])
        elif name.endswith("environ.setdefault") and value.args:
            self._environment(line, value.args[0])
        elif name == "os.chdir" and value.args and self.absolute(self._string(value.args[0]) or "?") == self.site:
            pass
        elif not self._runs(line, value) and not _HARMLESS_CALLS.fullmatch(name) and not self._activates(value):
            self.odd(line, f"does something that no recipe has: {_quoted(ast.unparse(value))}")

    def _runs(self, line: int, call: ast.Call) -> bool:
        """Whether this is ``WSGIServer(app).run()``, in one statement or in two."""
        if not (isinstance(call.func, ast.Attribute) and call.func.attr == "run"):
            return False
        server = call.func.value
        if isinstance(server, ast.Call) and self._resolved(server.func) in _SERVERS:
            self._serve(server)
        elif not (isinstance(server, ast.Name) and server.id in self.servers):
            return False
        if call.args or call.keywords:
            self.odd(line, f"gives run() the argument {_quoted(', '.join(map(ast.unparse, [*call.args, *_values(call)])))}")
        self.running = True
        return True

    def _serve(self, call: ast.Call) -> None:
        extra = [*(ast.unparse(one) for one in call.args[1:]), *(f"{one.arg}={ast.unparse(one.value)}" for one in call.keywords)]
        if extra:
            self.odd(call.lineno, f"gives WSGIServer the argument{'s' if len(extra) > 1 else ''} {_quoted(', '.join(extra))}")
        given = call.args[0] if call.args else None
        app = self._app(given) if given else ""
        if app:
            self.served.append((call.lineno, app))
        elif given is not None:
            self.odd(call.lineno, self._strange(given) or f"serves {_quoted(ast.unparse(given))}, whose import is not in the file")

    def _activates(self, node: ast.AST) -> bool:
        """Whether a virtualenv's ``activate_this.py`` is executed, however it is spelled."""
        called = {_dotted(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)}
        if not called & {"exec", "execfile", "runpy.run_path"}:
            return False
        paths = [self._string(one) for one in ast.walk(node) if isinstance(one, ast.expr)]
        found = [match[1] for match in (_ACTIVATE.fullmatch(path or "") for path in paths) if match]
        self.virtualenvs += [self.absolute(one) for one in found]
        return bool(found)

    def _add_paths(self, line: int, value: ast.expr) -> None:
        """Directories on ``sys.path``. What cannot be told may be the one that the app comes from."""
        if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
            items = [one for one in (value.left, value.right) if _dotted(one) != "sys.path"]
            if len(items) == 1:
                self._add_paths(line, items[0])
                return
        for one in value.elts if isinstance(value, (ast.List, ast.Tuple)) else [value]:
            path = self._string(one)
            if path is None:
                self.odd(line, f"puts a directory on the path that only running it would show: {_quoted(ast.unparse(one))}")
                continue
            path = self.absolute(path)
            packages = _SITE_PACKAGES.fullmatch(path)
            if packages:
                self.virtualenvs.append(packages[1])
            else:
                self.paths.append((line, path))

    # Values.

    def _resolved(self, node: ast.expr) -> str:
        """The dotted name that an expression stands for, its first part as it was imported."""
        first, dot, rest = _dotted(node).partition(".")
        if first in self.imported:
            return self.imported[first] + dot + rest
        known = any(module.partition(".")[0] in _SERVER_MODULES for module in self.stars)
        return f"flup.server.fcgi.{first}" if known and first not in self.apps else first + dot + rest

    def _app(self, node: ast.expr) -> str:
        """The app that an expression is, as ocf_flask_app has it; empty when it is none."""
        if isinstance(node, ast.Call):
            factory = "" if self._strange(node) else self._app(node.func)
            if not factory or "(" in factory or not all(map(_is_literal, [*node.args, *_values(node)])):
                return ""
            given = [*map(ast.unparse, node.args), *(f"{one.arg}={ast.unparse(one.value)}" for one in node.keywords)]
            return f"{factory}({', '.join(given)})"
        first, _, rest = _dotted(node).partition(".")
        if not first:
            return ""
        if first in self.apps:
            return self._with_attributes(self.apps[first], rest)
        if first in self.imported:
            module, _, name = f"{self.imported[first]}.{rest}".rpartition(".")
            return f"{module}:{name}" if rest and module in self.modules else ""
        own = [module for module in self.stars if module.partition(".")[0] not in (*_HARMLESS_MODULES, *_SERVER_MODULES)]
        return f"{own[0]}:{_dotted(node)}" if len(own) == 1 else ""

    def _with_attributes(self, app: str, attributes: str) -> str:
        """``from shop import views`` and then ``views.app``: an object of a module, when that is one."""
        if not attributes:
            return app
        module, _, name = app.partition(":")
        path = f"{module}.{name}".replace(".", "/")
        directories = [*(path for _, path in self.paths), self.site]
        if any(self.is_file(f"{one}/{path}.py") or self.is_file(f"{one}/{path}/__init__.py") for one in directories):
            return f"{module}.{name}:{attributes}"
        return f"{app}.{attributes}" if "(" not in app else ""

    def _strange(self, value: ast.expr) -> str:
        """What is special about a value that should be an app: mostly something around one."""
        if not isinstance(value, ast.Call):
            return ""
        inner = [one for one in [*value.args, *_values(value)] if self._app(one) or self._strange(one)]
        if inner:
            return f"wraps the app in middleware: {_quoted(ast.unparse(value))}"
        if "django" in self._resolved(value.func) or "get_wsgi_application" in _dotted(value.func):
            return "serves Django"
        return ""

    def _string(self, node: ast.expr) -> str | None:
        """The text that an expression makes, of the kind that paths are made with; None when it cannot be told."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.Name):
            return f"{self.site}/run.fcgi" if node.id == "__file__" else self.strings.get(node.id)
        if isinstance(node, ast.BinOp):
            left, right = self._string(node.left), self._string(node.right)
            if left is None or right is None or not isinstance(node.op, (ast.Add, ast.Div)):
                return None
            return left + right if isinstance(node.op, ast.Add) else posixpath.join(left, right)
        if isinstance(node, ast.Attribute) and node.attr == "parent":
            path = self._string(node.value)
            return None if path is None else posixpath.dirname(path)
        if isinstance(node, ast.Subscript):
            return self._item(node)
        return self._call(node) if isinstance(node, ast.Call) else None

    def _item(self, node: ast.Subscript) -> str | None:
        if _dotted(node.value) in ("os.environ", "environ") and self._string(node.slice) == "HOME":
            return self.home
        call = node.value
        if isinstance(call, ast.Call) and _dotted(call.func) == "os.path.split" and ast.unparse(node.slice) == "0":
            path = self._string(call.args[0]) if call.args else None
            return None if path is None else posixpath.dirname(path)
        return None

    def _call(self, node: ast.Call) -> str | None:
        name = _dotted(node.func).replace("pathlib.", "").replace("os.path.", "").replace("path.", "")
        if name == "os.getcwd":
            return self.site
        if name == "Path.home":
            return self.home
        if name in ("os.getenv", "os.environ.get") and node.args and self._string(node.args[0]) == "HOME":
            return self.home
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("resolve", "absolute", "expanduser") and not node.args:
            path = self._string(node.func.value)
            return None if path is None else self.absolute(self._expanded(path))
        parts = [self._string(one) for one in node.args]
        texts = [one for one in parts if one is not None]
        if not texts or len(texts) < len(parts):
            return None
        if name in ("join", "joinpath"):
            return posixpath.join(*texts)
        known: dict[str, Callable[[str], str]] = {
            "dirname": posixpath.dirname,
            "abspath": self.absolute,
            "realpath": self.absolute,
            "normpath": posixpath.normpath,
            "expanduser": self._expanded,
            "str": str,
            "Path": str,
            "PurePath": str,
        }
        return known[name](texts[0]) if name in known else None

    def _expanded(self, path: str) -> str:
        first, slash, rest = path.partition("/")
        return self.home + slash + rest if first in ("~", f"~{posixpath.basename(self.home)}") else path


def _is_main(test: ast.expr) -> bool:
    return ast.unparse(test) in ("__name__ == '__main__'", "'__main__' == __name__")


def _dotted(node: ast.expr) -> str:
    """``a.b.c`` as written; empty for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def _values(call: ast.Call) -> list[ast.expr]:
    return [one.value for one in call.keywords]


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True


def _quoted(text: str) -> str:
    """A piece of the file for a sentence, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _QUOTED else f"{line[:_QUOTED]}..."
