#!/usr/bin/python3
"""Makes a set of resources in files, of a size and a shape.

    tests/bench/gen.py DIR N [--shape wide|deep] [--per-file K] [--plugin]

  wide   N virtual services with a domain and one route each
  deep   N/100 virtual services with 100 routes each

Routes lead in turn to min(N, 1000) static upstreams of three endpoints. Each file holds K documents; the
virtual services' files and the upstreams' are apart. With --plugin each route configures the plugin `bench`, which
is written beside them (plugins/bench.lua). The same arguments always give the same files.
"""

import argparse
import os
import pathlib

DEEP = 100
UPSTREAMS_MAX = 1000

UPSTREAM = """apiVersion: gloo.solo.io/v1
kind: Upstream
metadata:
  name: up-{i}
  namespace: gloo-system
spec:
  static:
    hosts:
      - addr: 10.{a}.{b}.1
        port: {port}
      - addr: 10.{a}.{b}.2
        port: {port}
      - addr: 10.{a}.{b}.3
        port: {port}
"""
VIRTUAL_SERVICE = """apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata:
  name: vs-{i}
  namespace: gloo-system
spec:
  virtualHost:
    domains:
      - host-{i}.example.com
    routes:
"""
ROUTE = """      - matchers:
          - prefix: /{prefix}
        routeAction:
          single:
            upstream:
              name: up-{upstream}
              namespace: gloo-system
"""

OPTIONS = """        options:
          extensions:
            configs:
              bench: {{value: t-{value}}}
"""
PLUGIN = """local s = require "solder.schema"
return {
  api = 1, name = "bench",
  schema = s.record{header = s.header_name{default = "x-tenant"}, value = s.string{required = true}},
  shape_route = function(conf, route)
    table.insert(route.request_headers_to_add, {header = {key = conf.header, value = conf.value}})
    route.route.timeout = "3s"
  end,
}
"""


class Set:
    """The documents of a set, and where they are."""

    def __init__(self, n, shape="wide", per_file=1, plugin=False):
        if shape not in ("wide", "deep"):
            raise ValueError(f"no shape {shape}")
        self.n, self.shape, self.per_file, self.plugin = n, shape, per_file, plugin
        self.routes_each = 1 if shape == "wide" else min(n, DEEP)
        self.services = n // self.routes_each
        self.upstreams = min(n, UPSTREAMS_MAX)

    def upstream(self, i, port=8080):
        return UPSTREAM.format(i=i, a=i // 250, b=i % 250, port=port)

    def service(self, i, first="api"):
        """Document I; FIRST is the prefix of its first route."""
        out = VIRTUAL_SERVICE.format(i=i)
        for k in range(self.routes_each):
            out += ROUTE.format(prefix=f"api-{k}" if k else first,
                                upstream=(i * self.routes_each + k) % self.upstreams)
            out += OPTIONS.format(value=i) if self.plugin else ""
        return out

    def path(self, kind, i):
        """Relative path of the file with document I."""
        return f"{kind}/{i // self.per_file:05}.yaml"

    def file_of(self, kind, i, edit=None):
        """Text of the file with document I, which is EDIT if that is given."""
        make, count = (self.upstream, self.upstreams) if kind == "upstreams" else (self.service, self.services)
        first = i // self.per_file * self.per_file
        docs = [edit if edit is not None and k == i else make(k)
                for k in range(first, min(first + self.per_file, count))]
        return "---\n".join(docs)

    def write(self, folder):
        folder = pathlib.Path(folder)
        for kind, count in (("upstreams", self.upstreams), ("services", self.services)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            for i in range(0, count, self.per_file):
                (folder / self.path(kind, i)).write_text(self.file_of(kind, i))

    def write_plugin(self, folder):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bench.lua").write_text(PLUGIN)

    def prepare(self, folder, kind, i, text):
        """Writes the file in which TEXT replaces document I; what is returned renames it over the old one."""
        path = pathlib.Path(folder) / self.path(kind, i)
        temp = path.parent / ".new"
        temp.write_text(self.file_of(kind, i, text))
        return lambda: os.rename(temp, path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dir")
    p.add_argument("n", type=int)
    p.add_argument("--shape", choices=("wide", "deep"), default="wide")
    p.add_argument("--per-file", type=int, default=1)
    p.add_argument("--plugin", action="store_true")
    a = p.parse_args()
    case = Set(a.n, a.shape, a.per_file, a.plugin)
    case.write(a.dir)
    if a.plugin:
        case.write_plugin(pathlib.Path(a.dir) / "plugins")


if __name__ == "__main__":
    main()
