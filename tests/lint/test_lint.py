"""The tree keeps its rules, and the rules see what breaks them."""

import os

import pytest

import lint

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture(scope="module")
def tree():
    return lint.load(ROOT)


@pytest.mark.parametrize("rule", lint.RULES)
def test_tree(tree, rule):
    found = ["%s:%d: %s" % f for f in lint.RULES[rule](tree)]
    assert not found, "\n" + "\n".join(found)


def lines(rule, path, text, **others):
    """The lines of PATH at which RULE finds something, in a tree of TEXT and OTHERS."""
    return [number for at, number, _ in lint.RULES[rule]({path: text, **others}) if at == path]


@pytest.mark.parametrize("include, allowed", [
    ('"base/str.h"', True),
    ('"net/grpc.h"', True),
    ('"net/grpc_internal.h"', False),  # another room's inside
    ('"xds/stream.h"', True),  # its own inside
    ('"edge/edge.h"', False),  # below it
    ('"stream.h"', False),  # without the room
    ('"../base/str.h"', False),
    ('"google/protobuf/any.pb-c.h"', True),
    ('"envoy/config/cluster/v3/cluster.pb-c.h"', False),
    ('"upstream.pb-c.h"', False),
])
def test_rooms(include, allowed):
    assert lines("rooms", "core/xds/push.c", "#include %s\n" % include) == ([] if allowed else [1])


def test_rooms_are_known():
    assert lines("rooms", "core/extra/x.c", "int x;\n") == [1]


@pytest.mark.parametrize("path, header, allowed", [
    ("core/loop/loop.c", "uv.h", True),
    ("core/source/dir/dir.c", "uv.h", False),
    ("core/codec/x509.c", "openssl/pem.h", True),
    ("core/net/h2_tls.c", "openssl/ssl.h", True),
    ("core/plugin/lib_jwt.c", "openssl/ssl.h", False),
    ("core/worker/serve.c", "nghttp2/nghttp2.h", False),
    ("core/net/tls.c", "mbedtls/ssl.h", True),
    ("core/plugin/host.c", "lua5.4/lua.h", True),
    ("core/model/model.c", "lua.h", False),
    ("core/model/model.c", "sys/stat.h", True),
    ("core/model/model.c", "jansson.h", False),  # nobody's
    ("core/codec/regex_re2.cc", "cstdio", True),
    ("core/codec/regex.c", "cstdio", False),
])
def test_doors(path, header, allowed):
    assert lines("doors", path, "\n#include <%s>\n" % header) == ([] if allowed else [2])


@pytest.mark.parametrize("path, code, allowed", [
    ("core/xds/x.c", "strcpy(a, b);", False),
    ("core/xds/x.c", "sld_strcpy(a, b);", True),
    ("core/xds/x.c", "// strcpy(a, b);", True),
    ("core/xds/x.c", 'say("strcpy(a)");', True),
    ("core/xds/x.c", "/* a\n system(b) */", True),
    ("core/xds/x.c", "ops->free(o);", True),
    ("core/xds/x.c", "free(o);", False),
    ("core/base/alloc.c", "free(o);", True),
    ("core/app/main.c", 'printf("hello");', True),
    ("core/edge/edge.c", 'printf ("hello");', False),
    ("core/app/main.c", "popen(a, b);", False),
])
def test_calls(path, code, allowed):
    assert lines("calls", path, code + "\n") == ([] if allowed else [1])


def test_sizes():
    assert not lines("sizes", "core/xds/x.c", "\n" * 1000)
    assert lines("sizes", "core/xds/x.c", "\n" * 1001) == [1001]
    assert lines("sizes", "tests/unit/xds/test_x.c", "\n" * 1001) == [1001]


@pytest.mark.parametrize("text, found", [
    ("// Says hello.\nvoid sld_hello(void);\n", []),
    ("void sld_hello(void);\n", [1]),
    ("void sld_hello(void); // says hello\n", []),
    ("// Both of them.\nvoid sld_a(void);\nint *sld_b(int a,\n          int b);\n", []),
    ("// Only the first.\nvoid sld_a(void);\n\nSLD_NODISCARD enum sld_rc sld_b(void (*f)(int));\n", [4]),
    ("// A struct.\nstruct a {\n    int x;\n};\n\nstatic inline int sld_a(struct a *a)\n{\n    return a->x;\n}\n", [6]),
    ("struct a {\n    void (*call)(int); // a member\n};\n\ntypedef void sld_done(int);\nstruct b;\n", []),
    ("#define SLD_CALL(x) \\\n    sld_call(x)\n\nextern const int table[];\n", []),
])
def test_documented(text, found):
    assert lines("documented", "core/xds/xds.h", text) == found
    assert lines("documented", "core/xds/inside.h", text) == []


def test_files():
    assert not lines("files", "core/xds/a.c", "// What it is for.\n")
    assert not lines("files", "core/xds/a.c", '#include "xds/a.h"\n')
    assert lines("files", "core/xds/a.c", "int a;\n") == [1]
    assert lines("files", "core/xds/a.h", "// What it is for.\nint a;\n") == [1]
    assert lines("files", "core/xds/a.c", "// What it is for.\n\n// TO" + "DO: more\n") == [3]


def test_text():
    assert not lines("text", "core/xds/a.c", "int a;\n")
    assert lines("text", "core/xds/a.c", "int a; \n\tint b;\n") == [1, 2]
    assert lines("text", "README.md", "no newline") == [0]
    assert lines("text", "README.md", "two\n\n") == [2]
    assert lines("text", "core/xds/a.c", "x" * 161 + "\n") == [1]


def test_layout():
    tree = {"core/xds/CMakeLists.txt": "sld_room(xds SOURCES push.c)", "core/xds/README.md": "", "core/xds/push.c": ""}
    found = lambda t: [path for path, _, _ in lint.RULES["layout"](t)]
    assert found(tree) == []
    assert found({**tree, "core/xds/stray.c": ""}) == ["core/xds/stray.c"]
    assert found({**tree, "docs/guide.md": "", ".ci/run": ""}) == ["docs"]
    del tree["core/xds/README.md"]
    assert found(tree) == ["core/xds"]


def test_mutants():
    """A fault whose place or test is gone is found, and so is a second one of its name."""
    mutant = ('[[mutant]]\nname = "%s"\nbreaks = "x"\nfile = "core/xds/a.c"\nold = "%s"\nnew = "int b;"\n%s\n')
    tree = {"core/xds/a.c": "int a;\nint c;\nint c;\n", "tests/unit/xds/test_delta.c": "",
            "tests/e2e/test_xds.py": "def test_it(site):\n", "tests/golden/routes/one.yaml": ""}
    unit = 'unit = "test_xds_delta"'
    for test in unit, 'e2e = "test_xds.py::test_it"', 'golden = "routes/one"':
        assert not lines("mutants", "tests/mutants/xds.toml", mutant % ("a", "int a;", test), **tree)
    for old, test in (("int d;", unit), ("int c;", unit), ("int b;", unit), ("int a;", 'unit = "test_xds_gone"'),
                      ("int a;", 'e2e = "test_xds.py::test_gone"'), ("int a;", 'golden = "routes/two"'),
                      ("int a;", "extra = 1\n" + unit), ("int a;", "")):
        assert lines("mutants", "tests/mutants/xds.toml", mutant % ("a", old, test), **tree), (old, test)
    assert lines("mutants", "tests/mutants/xds.toml", 2 * (mutant % ("a", "int a;", unit)), **tree) == [8]


def test_builtin():
    table = "const struct sld_feature *const features[] = {\n    &sld_cors,\n    &sld_%s,\n};\n\nint a = 1;\n"
    assert not lines("builtin", "core/app/builtin.c", table % "faults")
    assert lines("builtin", "core/app/builtin.c", table % "accesslog") == [3]
    macro = "#define COMMANDS(X) \\\n    X(check) X(get) \\\n    X(%s)\n\nint b = a;\nCOMMANDS(DECLARE)\n"
    assert not lines("builtin", "core/app/builtin.c", macro % "run")
    assert lines("builtin", "core/app/builtin.c", macro % "apply") == [3]
