#!/usr/bin/python3
"""Holds the tree to its rules: rooms, doors, sizes, banned calls, documented headers, layout.

  lint.py [TREE]     prints "file:line: rule: what is wrong"; exit code 1 if anything is

The tables below are the rules. An exception is a line in a table, with its reason.
"""

import os
import re
import subprocess
import sys
import tomllib

# A room includes only itself and rooms above it.
ROOMS = "base codec loop flow net model source secret translate plugin worker xds edge admin app".split()

# What others may include of a room besides <room>/<room>.h.
PUBLIC = {
    "base": None,  # gathers small parts, all of them for everyone
    "codec": {"message.h", "crypt.h", "doc.h", "edit.h", "format.h", "regex.h", "scan.h", "sigv4.h", "text.h", "x509.h"},  # one per subject
    "net": {"http.h", "http_stream.h", "grpc.h", "address.h", "dns.h", "place.h"},  # one per protocol; addresses for settings
    "source": {"ahead.h", "consul/consul.h", "consul/services.h", "dir/dir.h", "discovery.h", "file.h", "given.h", "state.h",
               "store.h"},  # what app creates; its commands; what sources and secret stores are told where to look by
    "secret": {"dir/dir.h", "vault/vault.h"},  # what app registers
    "plugin": {"author.h", "backends.h", "discover.h", "found.h", "gives.h", "kv.h", "log.h", "reactor.h", "record.h", "request.h",
               "resolve.h", "shape.h", "transform.h"},  # for solder plugin; what app makes of --plugins; worker
    "translate": {"feature.h"},  # the interface of features, also for plugins' hooks
    "xds": {"serve.h", "sm.h"},  # xDS on gRPC; state machines, which edge has too
    "edge": {"bootstrap.h"},  # made without an Envoy, for a command
}

# Headers generated from .proto files, by prefix: the rooms that may know them.
SCHEMA = [
    ("google/", ROOMS[ROOMS.index("codec"):]),
    ("envoy/", ["translate", "plugin", "worker", "edge", "app"]),  # xds serves bytes and knows no Envoy resource
    ("xds/", ["translate", "plugin", "edge", "app"]),
    ("", [r for r in ROOMS[ROOMS.index("model"):] if r != "xds"]),  # the user's resources
]

# Third-party headers have one door each.
DOORS = {
    "ares": ["net"],
    "curl/": ["net"],
    "grpc/": ["net"],
    "lauxlib.h": ["plugin"],
    "llhttp.h": ["net"],
    "lua": ["plugin"],
    "mbedtls/": ["net"],
    "nghttp2/": ["net"],
    "openssl/": ["codec", "net"],
    "lz4.h": ["base"],
    "protobuf-c/": ["codec"],
    "psa/": ["net"],
    "re2/": ["codec"],
    "uv.h": ["loop", "net"],
    "xxhash.h": ["base"],
    "yaml.h": ["codec"],
    "yyjson.h": ["codec"],
}
LIBC = re.compile(
    r"(sys|netinet|arpa|net|linux)/|(assert|ctype|dirent|dlfcn|endian|errno|fcntl|float|fnmatch|ftw|getopt|"
    r"grp|ifaddrs|inttypes|libgen|limits|link|locale|malloc|math|netdb|poll|pthread|pwd|sched|semaphore|signal|"
    r"spawn|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|syslog|"
    r"termios|time|unistd|wchar)\.h$")
CXX = re.compile(r"[a-z_]+$")  # the C++ library, in .cc files

# Calls that are not made: name: (what to do, rooms that may, with the reason).
BANNED = {
    "alloca": ("take it from an arena", {}),
    "asctime": ("sld_time_text", {}),
    "atof": ("a parser that sees errors", {}),
    "atoi": ("a parser that sees errors", {}),
    "atol": ("a parser that sees errors", {}),
    "fork": ("sld_child", {"edge": "the keeper is a process of its own", "loop": "starts child processes"}),
    "gets": ("read with a ceiling", {}),
    "gmtime": ("gmtime_r", {}),
    "localtime": ("localtime_r", {}),
    "longjmp": ("return an error", {"plugin": "Lua's errors"}),
    "mktemp": ("mkstemp", {}),
    "popen": ("sld_child", {}),
    "rand": ("bytes of the kernel", {}),
    "setjmp": ("return an error", {"plugin": "Lua's errors"}),
    "sprintf": ("snprintf or sld_arena_fmt", {}),
    "strcat": ("sld_buf", {}),
    "strcpy": ("sld_buf or memcpy", {}),
    "strncat": ("sld_buf", {}),
    "strncpy": ("sld_buf or memcpy", {}),
    "strtok": ("slices of sld_str", {}),
    "system": ("sld_child", {}),
    "tmpnam": ("mkstemp", {}),
    "usleep": ("a timer of the loop", {}),
    "vsprintf": ("vsnprintf or sld_arena_fmt", {}),
    # Output and the end of the process belong to app.
    "_exit": ("return an error", {"app": "ends the process", "edge": "ends the keeper", "loop": "a child that cannot start"}),
    "abort": ("SLD_INV", {"base": "assertions and out of memory"}),
    "exit": ("return an error", {"app": "ends the process"}),
    "fputs": ("sld_log", {"app": "talks to people"}),
    "fprintf": ("sld_log", {"app": "talks to people", "base": "log and assertions"}),
    "printf": ("sld_log", {"app": "talks to people"}),
    "putchar": ("sld_log", {"app": "talks to people"}),
    "puts": ("sld_log", {"app": "talks to people"}),
    "vprintf": ("sld_log", {"app": "talks to people"}),
    # Memory: out of memory ends the process in one place, and outside sizes have a ceiling.
    "calloc": ("sld_xcalloc", {"base": "the allocator"}),
    "free": ("sld_xfree", {"base": "the allocator"}),
    "malloc": ("sld_xalloc", {"base": "the allocator"}),
    "realloc": ("sld_xrealloc", {"base": "the allocator"}),
    "strdup": ("sld_arena_cstr", {}),
    "strndup": ("sld_arena_cstr", {}),
}
# Single places that may all the same: (file, call): why.
CALLS_ALLOWED = {
    ("core/loop/loop.c", "fprintf"): "last words before an assertion",
}

LINES_MAX = 1000
LINES_NOTED = 500
COLUMNS_MAX = 160

TOP = {"CMakeLists.txt", "core", "lua", "plugins", "rootfs", "packaging", "tests", "examples", "README.md", "LICENSE"}
GENERATED = ("tests/fuzz/corpus/", "tests/golden/")  # what programs write
C_FILE = (".c", ".h", ".cc")
TEXT = C_FILE + (".py", ".proto", ".md", ".txt", ".cmake", ".lua", ".yaml", ".sh")


def strip(text):
    """C text with comments and the insides of literals blanked; lines stay where they are."""
    blank = lambda m: re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def room_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "core" and len(parts) > 2 else None


def core(tree, ends=C_FILE):
    for path in sorted(tree):
        if room_of(path) and path.endswith(ends):
            yield path, room_of(path), tree[path]


def includes(text):
    for number, line in enumerate(text.splitlines(), 1):
        m = re.match(r'\s*#\s*include\s+(["<])([^">]+)', line)
        if m:
            yield number, m.group(1) == '"', m.group(2)


def rule_rooms(tree):
    """A room includes only rooms above it, as "room/header.h", and only their public headers."""
    for path, room, text in core(tree):
        if room not in ROOMS:
            yield path, 1, "%s is no room: the list is in tests/lint/lint.py" % room
            continue
        for number, quoted, name in includes(text):
            if not quoted:
                continue
            if name.endswith(".pb-c.h"):
                for prefix, rooms in SCHEMA:
                    if name.startswith(prefix):
                        if room not in rooms:
                            yield path, number, "%s does not know messages of %s" % (room, name)
                        break
                continue
            other, _, header = name.partition("/")
            if other not in ROOMS or not header:
                yield path, number, '"%s": quoted includes have the form "room/header.h"' % name
            elif ROOMS.index(other) > ROOMS.index(room):
                yield path, number, "%s includes %s, which is below it" % (room, name)
            elif other != room and header != other + ".h":
                public = PUBLIC.get(other, set())
                if public is not None and header not in public:
                    yield path, number, "%s is for the room %s only" % (name, other)


def rule_doors(tree):
    """A third-party header is included in its room alone."""
    for path, room, text in core(tree):
        for number, quoted, name in includes(text):
            if quoted or LIBC.match(name) or (path.endswith(".cc") and CXX.match(name)):
                continue
            rooms = next((DOORS[d] for d in DOORS if name.startswith(d)), None)
            if rooms is None:
                yield path, number, "<%s> has no door: add it to tests/lint/lint.py" % name
            elif room not in rooms:
                yield path, number, "<%s> belongs to %s" % (name, " and ".join(rooms))


def rule_calls(tree):
    """Banned calls."""
    call = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(map(re.escape, BANNED)))
    for path, room, text in core(tree):
        for number, line in enumerate(strip(text).splitlines(), 1):
            for m in call.finditer(line):
                instead, allowed = BANNED[m.group(1)]
                if room not in allowed and (path, m.group(1)) not in CALLS_ALLOWED:
                    yield path, number, "%s() is not called here; instead: %s" % (m.group(1), instead)


def rule_sizes(tree):
    """No file is longer than a reader can hold."""
    for path in sorted(tree):
        lines = tree[path].count("\n")
        if path.endswith(C_FILE + (".py", ".proto", ".lua")) and lines > LINES_MAX:
            yield path, lines, "%d lines, at most %d" % (lines, LINES_MAX)


NOT_FUNCTION = re.compile(r'typedef|_Static_assert|extern "|(struct|union|enum)(\s+\w+)?\s*\{')


def declarations(text):
    """(line, name, documented) of each function that a header declares or defines at file level."""
    raw = text.splitlines()
    depth = start = 0
    comment = macro = False
    statement = ""
    for number, line in enumerate(strip(text).splitlines(), 1):
        bare = line.strip()
        if not raw[number - 1].strip():
            comment = False
        comment = comment or "//" in raw[number - 1]
        if macro or bare.startswith("#"):
            macro = bare.endswith("\\")
            continue
        if depth == 0 and bare:
            start = start or number
            statement += bare + " "
        before = depth
        depth += line.count("{") - line.count("}")
        if before == 0 and statement and (depth > 0 or bare.endswith((";", "}"))):
            m = re.match(r"[\w\s*]+?\b(\w+)\s*\(", re.sub(r"^(SLD_\w+\s+)+", "", statement))
            if m and not NOT_FUNCTION.match(statement) and "=" not in m.group(0):
                yield start, m.group(1), comment
        if depth == 0 and bare.endswith((";", "}")):
            statement, start = "", 0


def rule_documented(tree):
    """Each function of a public header has a comment, of its own or of its group."""
    for path, room, text in core(tree, (".h",)):
        header = path[len("core/%s/" % room):]
        public = PUBLIC.get(room, set())
        if header != room + ".h" and public is not None and header not in public:
            continue
        for number, name, documented in declarations(text):
            if not documented:
                yield path, number, "%s has no comment" % name


def rule_files(tree):
    """Every file opens with what it is for; headers are guarded; nothing waits to be done."""
    for path, room, text in core(tree):
        # A .c file with a header of its own is explained there.
        if not re.match(r"//|/\*", text) and not text.startswith('#include "%s.h"' % os.path.splitext(path)[0][len("core/"):]):
            yield path, 1, "the file does not open with a comment that says what it is for"
        if path.endswith(".h") and "#pragma once" not in text and "SLD_CODE(" not in text:
            yield path, 1, "the header has no #pragma once"
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
                yield path, number, "%s: do it or drop it" % re.search(r"TODO|FIXME|XXX|HACK", line).group(0)


def rule_text(tree):
    """No trailing blanks, no tabs, no long lines, one newline at the end."""
    for path in sorted(tree):
        if not path.endswith(TEXT) or path.startswith(GENERATED) or not tree[path]:
            continue
        for number, line in enumerate(tree[path].split("\n"), 1):
            if line != line.rstrip():
                yield path, number, "blanks at the end of the line"
            if "\t" in line and path.endswith(C_FILE + (".py", ".proto")):
                yield path, number, "a tab"
            if path.endswith(C_FILE) and len(line) > COLUMNS_MAX and not line.startswith("SLD_CODE("):
                yield path, number, "%d columns, at most %d" % (len(line), COLUMNS_MAX)
        if not tree[path].endswith("\n") or tree[path].endswith("\n\n"):
            yield path, tree[path].count("\n"), "the file does not end with one newline"


def rule_layout(tree):
    """The top level holds what it should; each room has a README and builds all its files."""
    for name in sorted({path.split("/")[0] for path in tree}):
        if name not in TOP and not name.startswith("."):
            yield name, 1, "does not belong at the top level"
    for room in ROOMS:
        own = [p for p in tree if p.startswith("core/%s/" % room)]
        if not own:
            continue
        if "core/%s/README.md" % room not in tree:
            yield "core/%s" % room, 1, "the room has no README.md"
        build = tree.get("core/%s/CMakeLists.txt" % room, "")
        for path in sorted(own):
            name = path[len("core/%s/" % room):]
            if path.endswith((".c", ".cc")) and not re.search(r"(?<![\w/])%s\b" % re.escape(name), build) \
                    and "GLOB" not in build:
                yield path, 1, "is not built: core/%s/CMakeLists.txt does not name it" % room


def rule_builtin(tree):
    """The tables of app/builtin.c are alphabetical."""
    path = "core/app/builtin.c"
    last = None  # within a table, the entry before
    for number, line in enumerate(tree.get(path, "").splitlines(), 1):
        names = re.findall(r"\bX\((\w+)\)", line)
        if re.match(r"#define \w+\(X\)", line):
            last, names = "", names[1:]
        elif re.match(r"[^#].*\[\w*\] = \{$", line):
            last, names = "", []
        elif line.startswith("}"):
            last = None
        elif not names:
            names = re.findall(r'^\s+\{?[&"]*(\w+)', line)
        for name in names if last is not None else []:
            if name < last:
                yield path, number, "%s stands behind %s: keep the table alphabetical" % (name, last)
            last = name
        if names and re.match(r".*\bX\(\w+\)\s*$", line):
            last = None


def has_test(tree, kind, what):
    """Whether the tree has the test that a mutant names."""
    if kind == "unit":
        room, _, name = what.removeprefix("test_").partition("_")
        return what.startswith("test_") and "tests/unit/%s/test_%s.c" % (room, name) in tree
    if kind == "golden":
        return "tests/golden/%s.yaml" % what in tree or any(p.startswith("tests/golden/%s/" % what) for p in tree)
    path, _, function = what.partition("::")
    text = tree.get("tests/%s/%s" % (kind, path), "")
    return "def %s(" % function in text if function else bool(text)


def rule_mutants(tree):
    """The planted faults fit the tree: each stands where it says, and its test exists."""
    seen = set()
    for path in sorted(tree):
        if not re.fullmatch(r"tests/mutants/[\w-]+\.toml", path):
            continue
        numbers = [n for n, line in enumerate(tree[path].splitlines(), 1) if line == "[[mutant]]"]
        for number, m in zip(numbers, tomllib.loads(tree[path])["mutant"]):
            kinds = [k for k in ("unit", "golden", "e2e", "schema") if k in m]
            if set(m) - set(kinds) != {"name", "breaks", "file", "old", "new"} or len(kinds) != 1:
                yield path, number, "a mutant has name, breaks, file, old, new, and one of unit, golden, e2e, schema"
                continue
            if m["name"] in seen:
                yield path, number, "there is another mutant %s" % m["name"]
            seen.add(m["name"])
            if tree.get(m["file"], "").count(m["old"]) != 1 or m["old"] == m["new"]:
                yield path, number, "%s: its old text does not occur exactly once in %s" % (m["name"], m["file"])
            if not has_test(tree, kinds[0], m[kinds[0]]):
                yield path, number, "%s: there is no test %s" % (m["name"], m[kinds[0]])


RULES = {name[len("rule_"):]: rule for name, rule in list(globals().items()) if name.startswith("rule_")}


def load(root):
    """The tree as {path: text}: what git knows or would add."""
    names = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                           check=True, capture_output=True).stdout.decode().split("\0")
    tree = {}
    for name in filter(None, names):
        try:
            with open(os.path.join(root, name), encoding="utf-8") as f:
                tree[name] = f.read()
        except (UnicodeDecodeError, FileNotFoundError):  # binary data; a file removed but not yet in a commit
            pass
    return tree


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    tree = load(root)
    found = 0
    for name, rule in RULES.items():
        for path, number, text in rule(tree):
            print("%s:%d: %s: %s" % (path, number, name, text))
            found += 1
    for path, _, text in core(tree):
        if text.count("\n") > LINES_NOTED:
            print("%s: note: %d lines" % (path, text.count("\n")), file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
