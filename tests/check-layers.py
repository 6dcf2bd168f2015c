#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fail when a file includes a folder its layer may not see (tests/layers.txt), has no SPDX line,
or a header guard that is not its path."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
SOURCE = {".c", ".h", ".def", ".S", ".py", ".sh"}


def read_layers():
    allowed = {}
    for line in (root / "tests/layers.txt").read_text().splitlines():
        name, sep, may = line.split("#")[0].partition(":")
        if sep:
            allowed[name.strip()] = {name.strip(), *may.split()}
    return allowed


def layer_of(path, allowed):
    """The longest folder of layers.txt that holds the path."""
    names = [n for n in allowed if path == n or path.startswith(n + "/")]
    return max(names, key=len) if names else None


def check_includes(rel, text, allowed):
    layer = layer_of(rel, allowed)
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not match:
            continue
        target = match.group(1)
        where = f"{rel}:{number}"
        if "/" not in target:
            yield f'{where}: write the path from the top, not "{target}"'
            continue
        other = layer_of(target, allowed)
        if other is None:
            yield f"{where}: {target} belongs to no layer"
        elif other not in allowed[layer] and not (rel.endswith("base/trace.def") and target.endswith("/trace.def")):
            yield f"{where}: {layer}/ may not include {other}/"
        elif other != layer and target.endswith("-internal.h"):
            yield f"{where}: {target} is private to {other}/"


def main():
    allowed = read_layers()
    bad = []
    n = 0
    for top in sorted({name.split("/")[0] for name in allowed}):
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in SOURCE or not path.is_file():
                continue
            n += 1
            rel = str(path.relative_to(root))
            text = path.read_text()
            if "SPDX-License-Identifier: GPL-2.0-or-later" not in "\n".join(text.splitlines()[:3]):
                bad.append(f"{rel}:1: no SPDX line")
            if path.suffix == ".h":
                guard = re.sub(r"[^A-Z0-9]", "_", rel.upper())
                if f"#ifndef {guard}\n" not in text:
                    bad.append(f"{rel}:1: header guard is not {guard}")
            if path.suffix in {".c", ".h", ".def", ".S"}:
                bad.extend(check_includes(rel, text, allowed))
    print("\n".join(bad))
    print(f"{n} files, {len(bad)} problems")
    return bool(bad) or n == 0


sys.exit(main())
