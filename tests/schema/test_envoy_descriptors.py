"""Our subset of Envoy's API against the descriptors and validation rules that Envoy publishes.

The published ones are in the Go modules that envoydesc/go.mod pins, as string constants of the
generated code: they are read from the source text, nothing is compiled.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

try:
    from google.protobuf import descriptor_pb2
except ImportError:  # an interpreter that does not look where the distribution keeps its packages
    sys.path.append("/usr/lib/python3/dist-packages")
    from google.protobuf import descriptor_pb2
from google.protobuf import descriptor_pool, duration_pb2, message_factory, timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor as F

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("SLD_BUILD", os.path.join(ROOT, "build"))
PROTOS = os.path.join(ROOT, "core/translate/proto")
OPTIONS = os.path.join(ROOT, "core/codec/proto")
MODULES = ["github.com/cncf/xds/go", "github.com/envoyproxy/go-control-plane/envoy",
           "github.com/envoyproxy/protoc-gen-validate", "google.golang.org/genproto/googleapis/rpc"]
GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")

ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)")
LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
TEXT = re.compile(rb'rawDesc = "" \+\n((?:\t".*"(?: \+)?\n)+)')
BYTES = re.compile(rb"rawDesc = \[\]byte\{([^}]*)\}")


def go_string(quoted):
    def one(m):
        e = m.group(1)
        if e[:1] == b"x":
            return bytes([int(e[1:], 16)])
        if e[:1] in b"uU" and len(e) > 1:
            return chr(int(e[1:], 16)).encode()
        return LETTERS.get(e, e)
    return ESCAPE.sub(one, quoted)


def descriptors_in(source):
    for m in TEXT.finditer(source):
        yield b"".join(go_string(s) for s in re.findall(rb'^\t"(.*)"(?: \+)?$', m.group(1), re.M))
    for m in BYTES.finditer(source):
        yield bytes(int(b, 16) for b in re.findall(rb"0x([0-9a-f]{2})", m.group(1)))


def modules():
    """The folders of the pinned modules; Go keeps them in its own cache."""
    if not GO:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Go is not installed")
    run = subprocess.run([GO, "mod", "download", "-json", *MODULES], cwd=os.path.join(HERE, "envoydesc"),
                         env={**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOTOOLCHAIN": "local"},
                         stdout=subprocess.PIPE, text=True)
    assert run.returncode == 0, run.stdout
    decoder, at, folders = json.JSONDecoder(), 0, []
    text = run.stdout.strip()
    while at < len(text):
        module, at = decoder.raw_decode(text, at)
        folders.append(module["Dir"])
        while at < len(text) and text[at].isspace():
            at += 1
    return folders


def index(files):
    """Messages and enums of FILES by full name, each with the name of its file."""
    messages, enums = {}, {}

    def walk(prefix, inner, file):
        for e in inner.enum_type:
            enums[f"{prefix}.{e.name}"] = (e, file.name)
        nested = inner.message_type if inner is file else inner.nested_type
        for m in nested:
            messages[f"{prefix}.{m.name}"] = (m, file.name)
            walk(f"{prefix}.{m.name}", m, file)

    for file in files:
        walk(file.package, file, file)
    return messages, enums


class Options:
    """Reads descriptor options with the extensions that FILES define."""

    def __init__(self, files):
        self.pool = descriptor_pool.DescriptorPool()
        for known in (descriptor_pb2, duration_pb2, timestamp_pb2):
            self.pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
        for f in files:
            self.pool.AddSerializedFile(f.SerializeToString())
        self.factory = message_factory.MessageFactory(self.pool)

    def get(self, options, extension):
        """The extension's value, its default when it is absent."""
        kind = self.factory.GetPrototype(self.pool.FindMessageTypeByName(options.DESCRIPTOR.full_name))
        field = self.pool.FindExtensionByName(extension)
        return kind.FromString(options.SerializeToString()).Extensions[field]


class Published:
    def __init__(self):
        self.files = {}
        for folder in modules():
            for path in glob.glob(f"{folder}/**/*.pb.go", recursive=True):
                with open(path, "rb") as f:
                    for raw in descriptors_in(f.read()):
                        file = descriptor_pb2.FileDescriptorProto.FromString(raw)
                        self.files[file.name] = file
        self.messages, self.enums = index(self.files.values())
        self.options = Options([self.files[n] for n in (
            "validate/validate.proto", "udpa/annotations/sensitive.proto")])


def is_ours(name):
    return name.startswith(("envoy/", "xds/", "google/rpc/"))


@pytest.fixture(scope="module")
def published():
    return Published()


@pytest.fixture(scope="module")
def built():
    """What the binary knows: the build's descriptors, without our options."""
    with open(os.path.join(BUILD, "gen/schema.desc"), "rb") as f:
        files = descriptor_pb2.FileDescriptorSet.FromString(f.read())
    return [f for f in files.file if is_ours(f.name)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Our .proto files with our options: (messages, options)."""
    names = [os.path.relpath(p, PROTOS) for p in glob.glob(f"{PROTOS}/**/*.proto", recursive=True)]
    out = tmp_path_factory.mktemp("desc") / "all"
    subprocess.run(["protoc", f"-I{PROTOS}", f"-I{OPTIONS}", "-I/usr/include", "--include_imports",
                    f"--descriptor_set_out={out}", *names], check=True)
    files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    assert {f.name for f in files if is_ours(f.name)} == set(names)
    messages, _ = index([f for f in files if is_ours(f.name)])
    return messages, Options([f for f in files if f.name == "solder/options.proto"])


def shape(message, field):
    """Everything of FIELD that both sides must have alike."""
    packed = field.options.packed if field.options.HasField("packed") else None
    oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
    return {"number": field.number, "type": field.type, "label": field.label, "type_name": field.type_name,
            "json_name": field.json_name, "oneof": oneof, "packed": packed, "proto3_optional": field.proto3_optional}


def test_names_numbers_and_types(published, built):
    messages, enums = index(built)
    assert len(messages) > 400
    wrong = []
    for file in built:
        theirs = published.files.get(file.name)
        if theirs is None or (theirs.package, theirs.syntax) != (file.package, file.syntax):
            wrong.append(f"{file.name}: not published so")
    for name, (message, file) in messages.items():
        theirs, their_file = published.messages.get(name, (None, None))
        if their_file != file:
            wrong.append(f"{name}: not published in {file}")
            continue
        if message.options.map_entry != theirs.options.map_entry:
            wrong.append(f"{name}: map entry or not")
        known = {f.name: shape(theirs, f) for f in theirs.field}
        for f in message.field:
            if shape(message, f) != known.get(f.name):
                wrong.append(f"{name}.{f.name}: {shape(message, f)}, published {known.get(f.name)}")
    for name, (enum, file) in enums.items():
        theirs, their_file = published.enums.get(name, (None, None))
        if their_file != file:
            wrong.append(f"{name}: not published in {file}")
            continue
        known = {v.name: v.number for v in theirs.value}
        wrong += [f"{name}.{v.name} = {v.number}, published {known.get(v.name)}"
                  for v in enum.value if known.get(v.name) != v.number]
    assert not wrong, "\n".join(wrong)


# ---- Validation rules ----

HEADER_FORMATS = {1: "http_header_name", 2: "http_header_value"}
# Rules with the same name and meaning on both sides.
SAME = {"gt", "gte", "lt", "lte", "min_len", "max_len", "min_bytes", "max_bytes", "pattern", "min_items", "max_items",
        "unique", "defined_only", "required", "ignore_empty"}
OTHER_NAME = {"min_pairs": "min_items", "max_pairs": "max_items"}
FORMATS = {"ip": "ip", "ipv4": "ipv4", "ipv6": "ipv6", "uri": "uri", "uuid": "uuid", "hostname": "dns_name",
           "address": "host"}


class Unknown(Exception):
    """A published rule that ours cannot say: see what it needs."""


def number(v):
    if hasattr(v, "nanos"):
        return v.seconds + v.nanos / 1e9
    return float(f"{v:.7g}") if isinstance(v, float) else v


def text_of(kind, enum, v):
    if kind == "enum":
        return next(x.name for x in enum.value if x.number == v)
    return v if kind == "string" else f"{v:.15g}"


def affixes(rules):
    """Prefix and suffix as a pattern that matches the whole string."""
    prefix, suffix = re.escape(rules.prefix), re.escape(rules.suffix)
    if prefix and prefix == suffix and len(rules.prefix) == 1:
        return f"(?s){prefix}|{prefix}.*{suffix}"
    return f"(?s){prefix}.*{suffix}"


def expected(rules, enum):
    """FieldRules of protoc-gen-validate as a dictionary of ours."""
    out = {}
    if rules.message.required:
        out["required"] = True
    if rules.message.skip:
        raise Unknown("message.skip")
    kind = rules.WhichOneof("type")
    if not kind:
        return out
    own = getattr(rules, kind)
    for field, v in own.ListFields():
        name = field.name
        if kind == "bytes" and name in ("min_len", "max_len", "len"):
            name = name.replace("len", "bytes") if name != "len" else "bytes"
        if name in SAME:
            if v:
                out[name] = number(v) if name in ("gt", "gte", "lt", "lte") else v
            elif name in ("gt", "gte", "lt", "lte"):
                out[name] = 0
        elif name in OTHER_NAME:
            out[OTHER_NAME[name]] = v
        elif name in ("len", "bytes"):
            out[f"min_{name}"] = out[f"max_{name}"] = v
        elif name in ("in", "not_in") and kind != "any":
            out[name] = [text_of(kind, enum, x) for x in v]
        elif name == "const" and kind == "bool":
            if not v:
                raise Unknown("bool.const: false")
            out["required"] = True
        elif name == "const":
            out["in"] = [text_of(kind, enum, v)]
        elif name in ("prefix", "suffix"):
            out["pattern"] = affixes(own)
        elif name in FORMATS:
            out["format"] = FORMATS[name]
        elif name == "well_known_regex":
            out["format"] = HEADER_FORMATS[v] + ("" if own.strict else "_loose")
        elif name == "strict" or name == "no_sparse":
            pass
        elif name in ("items", "values", "keys"):
            inner = expected(v, enum)
            if inner:
                out["keys" if name == "keys" else "items"] = inner
        else:
            raise Unknown(f"{kind}.{name}")
    return out


def ours(rules):
    """Our FieldRules as a dictionary, constraints only."""
    out = {}
    for field, v in rules.ListFields():
        if field.name in ("items", "keys"):
            out[field.name] = ours(v)
        elif field.label == F.LABEL_REPEATED:
            out[field.name] = list(v)
        elif field.name not in ("sensitive", "state", "json_name", "default"):
            out[field.name] = v
    for bound in ("lower", "upper"):  # a bound of 0 is set, though it is the default
        which = rules.WhichOneof(bound)
        if which:
            out[which] = getattr(rules, which)
    return out


def enum_of(published, field):
    """The enum whose values FIELD, or its map's values, take."""
    if field.type == F.TYPE_MESSAGE and field.type_name[1:] in published.messages:
        inner = published.messages[field.type_name[1:]][0]
        field = inner.field[1] if inner.options.map_entry else field
    return published.enums[field.type_name[1:]][0] if field.type == F.TYPE_ENUM else None


def test_validation_rules(published, written):
    messages, options = written
    wrong, seen = [], 0
    for name, (message, _) in messages.items():
        theirs = published.messages[name][0]
        unchecked = (published.options.get(theirs.options, "validate.disabled")
                     or published.options.get(theirs.options, "validate.ignored"))
        if options.get(message.options, "solder.message").disabled != unchecked:
            wrong.append(f"{name}: disabled should be {unchecked}")
        known = {f.name: f for f in theirs.field}
        for f in message.field:
            try:
                want = expected(published.options.get(known[f.name].options, "validate.rules"),
                                enum_of(published, known[f.name]))
            except Unknown as e:
                wrong.append(f"{name}.{f.name}: a rule of a new kind, {e}")
                continue
            have = options.get(f.options, "solder.field")
            seen += bool(want)
            if ours(have) != want:
                wrong.append(f"{name}.{f.name}: {ours(have)}, published {want}")
            if published.options.get(known[f.name].options, "udpa.annotations.sensitive") and not have.sensitive:
                wrong.append(f"{name}.{f.name}: must be sensitive")
        required = {o.name: published.options.get(o.options, "validate.required") for o in theirs.oneof_decl}
        wrong += [f"{name}.{o.name}: required should be {required[o.name]}" for o in message.oneof_decl
                  if options.get(o.options, "solder.oneof_required") != required[o.name]]
    assert not wrong, "\n".join(wrong)
    assert seen > 400
