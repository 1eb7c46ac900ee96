"""Finds the script to start in a Python project without a framework, and the port it listens on. Pure."""

from __future__ import annotations

import ast

from roost.build.detect.python_objects import dotted_name, parse, python_files
from roost.build.detect.tree import SourceTree

_NAMES = ("main.py", "app.py", "server.py", "start.py", "run.py", "bot.py", "hello.py", "index.py", "web.py", "api.py")


def find_script(tree: SourceTree) -> str:
    """Return the script to start, or "".

    A well-known name at the top; else a package with __main__.py; else the only script at the top.
    """
    for name in _NAMES:
        if name in tree.paths:
            return name
    packages = [path for path in python_files(tree) if path.endswith("/__main__.py") and path.count("/") == 1]
    if packages:
        return packages[0]
    top = [path for path in python_files(tree) if "/" not in path and path != "manage.py"]
    return top[0] if len(top) == 1 and "__main__" in (tree.read(top[0]) or "") else ""


def literal_port(text: str) -> int:
    """Return the port a script listens on when it is written as a number and PORT is never read; else 0."""
    module = parse(text)
    if module is None or "PORT" in {n.value for n in ast.walk(module) if isinstance(n, ast.Constant)}:
        return 0
    constants = {
        target.id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            for port in _port_arguments(node):
                value = constants.get(port.id) if isinstance(port, ast.Name) else getattr(port, "value", None)
                if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
                    return value
    return 0


def _port_arguments(call: ast.Call) -> list[ast.expr]:
    """Return what stands for a port: `port=...`, and the second part of an address given to a server's class."""
    ports = [keyword.value for keyword in call.keywords if keyword.arg == "port"]
    name = dotted_name(call.func).rsplit(".", 1)[-1]
    if call.args and name in ("HTTPServer", "ThreadingHTTPServer", "TCPServer", "ThreadingTCPServer", "bind"):
        address = call.args[0]
        if isinstance(address, ast.Tuple) and len(address.elts) == 2:
            ports.append(address.elts[1])
    return ports
