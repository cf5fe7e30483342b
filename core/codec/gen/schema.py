"""Generates the C side of the schema from .proto files.

  schema.py --out DIR --root DIR... FILE...

FILEs are paths relative to one of the roots. Written to DIR, only where content changed:
  <file>.pb-c.c, <file>.pb-c.h   protoc-c's structs and descriptors
  schema.c                       the side tables of codec/message.h
  schema.desc                    the FileDescriptorSet without our options, for tests
"""

import argparse
import importlib
import os
import re
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

WELL_KNOWN = ["any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers"]
OPTIONS = "solder/options.proto"
# Parts of Envoy's package names that say nothing in a C name.
DROPPED = {"envoy", "config", "extensions", "filters", "service"}
# protobuf-c's options, as bytes: extension 1019 of FileOptions and MessageOptions.
PB_C = 1019
STATES = ["BUILT", "KNOWN", "ENTERPRISE", "IGNORED", "DEPRECATED", "OPTION"]
WKT = {
    "Any": "ANY", "Duration": "DURATION", "Timestamp": "TIMESTAMP", "Empty": "EMPTY",
    "FieldMask": "FIELD_MASK", "Struct": "STRUCT", "Value": "VALUE", "ListValue": "LIST",
    "DoubleValue": "WRAPPER", "FloatValue": "WRAPPER", "Int64Value": "WRAPPER",
    "UInt64Value": "WRAPPER", "Int32Value": "WRAPPER", "UInt32Value": "WRAPPER",
    "BoolValue": "WRAPPER", "StringValue": "WRAPPER", "BytesValue": "WRAPPER",
}


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def length_prefixed(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def c_package(package):
    """The package that C names are made of, or None to leave protoc-c's."""
    parts = package.split(".")
    if parts[0] not in ("envoy", "xds"):
        return None
    kept = [p for p in parts if p not in DROPPED and not re.fullmatch(r"v\d+(alpha|beta)?\d*", p)]
    return "env." + "_".join(kept)


def each_message(file):
    """Yields (full name, message, source path) of every message in FILE, map entries too."""
    def walk(prefix, messages, path, number):
        for i, m in enumerate(messages):
            here = path + (number, i)
            yield f"{prefix}.{m.name}", m, here
            yield from walk(f"{prefix}.{m.name}", m.nested_type, here, 3)
    yield from walk(file.package, file.message_type, (), 4)


def each_enum(file):
    yield from file.enum_type
    for _, m, _ in each_message(file):
        yield from m.enum_type


class Side:
    """What the side tables need of one message, taken before the options are stripped."""

    def __init__(self, full_name, message, path, comments, options):
        self.name = full_name
        self.doc = comments.get(path, "")
        own = message.options.Extensions[options.message]
        self.unchecked = own.disabled
        entries = {m.name for m in message.nested_type if m.options.map_entry}
        self.oneofs = [(o.name, o.options.Extensions[options.oneof_required])
                       for o in message.oneof_decl]
        self.is_entry = message.options.map_entry
        self.fields = []
        for i, f in enumerate(message.field):
            rules = options.FieldRules()
            rules.CopyFrom(f.options.Extensions[options.field])
            if own.options and rules.state == options.BUILT:
                rules.state = options.OPTION
            f.json_name = rules.json_name or f.json_name
            self.fields.append({
                "number": f.number,
                "name": f.name,
                "json": f.json_name,
                "doc": comments.get(path + (2, i), ""),
                "oneof": message.oneof_decl[f.oneof_index].name if f.HasField("oneof_index") else None,
                "map": (f.label == f.LABEL_REPEATED and f.type == f.TYPE_MESSAGE
                        and f.type_name.rsplit(".", 1)[1] in entries),
                "rules": rules,
            })
        self.fields.sort(key=lambda f: f["number"])


def comments_of(file):
    out = {}
    for loc in file.source_code_info.location:
        text = loc.leading_comments or loc.trailing_comments
        if text:
            lines = [line.strip() for line in text.strip().split("\n")]
            paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
            out[tuple(loc.path)] = "\n".join(p.replace("\n", " ") for p in paragraphs)
    return out


def strip(file):
    """Removes everything protoc-c must not see and adds its own options."""
    del file.service[:]
    del file.extension[:]
    file.ClearField("source_code_info")
    file.ClearField("public_dependency")
    file.ClearField("weak_dependency")
    dependencies = [d for d in file.dependency if d != OPTIONS]
    del file.dependency[:]
    file.dependency.extend(dependencies)
    file.options.Clear()
    no_helpers = varint(2 << 3) + b"\x00"
    package = c_package(file.package)
    name = length_prefixed(6, package.encode()) if package else b""
    file.options.MergeFromString(length_prefixed(PB_C, no_helpers + name))
    for enum in each_enum(file):
        alias = enum.options.allow_alias
        enum.options.Clear()
        if alias:
            enum.options.allow_alias = True
        for value in enum.value:
            value.ClearField("options")
    for _, m, _ in each_message(file):
        entry = m.options.map_entry
        m.ClearField("options")
        if entry:
            m.options.map_entry = True
        if any(f.name == "base" for f in m.field):
            m.options.MergeFromString(length_prefixed(PB_C, length_prefixed(3, b"pb_base")))
        for o in m.oneof_decl:
            o.ClearField("options")
        for f in m.field:
            packed = f.options.packed if f.options.HasField("packed") else None
            f.ClearField("options")
            if packed is not None:
                f.options.packed = packed


def load(args, tmp):
    """Runs protoc; returns the FileDescriptorSet and our options as a Python module."""
    includes = [f"-I{r}" for r in args.root] + ["-I/usr/include"]
    well_known = [f"google/protobuf/{n}.proto" for n in WELL_KNOWN]
    subprocess.run(["protoc", *includes, f"--python_out={tmp}", OPTIONS], check=True)
    sys.path.insert(0, tmp)
    options = importlib.import_module("solder.options_pb2")
    out = os.path.join(tmp, "all.desc")
    subprocess.run(["protoc", *includes, "--include_source_info", "--include_imports",
                    f"--descriptor_set_out={out}", *well_known, *args.files], check=True)
    with open(out, "rb") as f:
        return descriptor_pb2.FileDescriptorSet.FromString(f.read()), options


def c_string(s):
    if s is None:
        return "NULL"
    out = []
    for b in s.encode():
        c = chr(b)
        if c in '"\\?':
            out.append("\\" + c)
        elif 32 <= b < 127:
            out.append(c)
        else:
            out.append(f"\\{b:03o}")
    return '"' + "".join(out) + '"'


class Rules:
    """Collects distinct constraint structs as C definitions."""

    def __init__(self):
        self.text, self.known, self.patterns = [], {}, {}

    def ref(self, r):
        own = type(r)()
        own.CopyFrom(r)
        for f in ("sensitive", "state", "json_name", "default"):
            own.ClearField(f)
        key = own.SerializeToString(deterministic=True)
        if not key:
            return "NULL"
        if key not in self.known:
            text = self.body(own)  # first, for it may add structs of its own
            n = len(self.known)
            self.known[key] = n
            self.text.append(f"static const struct sld_rules rules_{n} = {{{text}}};\n")
        return f"&rules_{self.known[key]}"

    def strings(self, kind, values):
        name = f"{kind}_{len(self.text)}"
        items = ", ".join(c_string(v) for v in values)
        self.text.append(f"static const char *const {name}[] = {{{items}, NULL}};\n")
        return name

    def body(self, r):
        out = []
        for f in ("required", "defined_only", "unique", "ignore_empty"):
            if getattr(r, f):
                out.append(f".{f} = true")
        for group in ("lower", "upper"):
            which = r.WhichOneof(group)
            if which:
                out.append(f".has_{which} = true, .{which} = {getattr(r, which)!r}")
        for f in ("min_len", "max_len", "min_bytes", "max_bytes", "min_items", "max_items"):
            if getattr(r, f):
                out.append(f".{f} = {getattr(r, f)}")
        if r.pattern:
            slot = self.patterns.setdefault(r.pattern, len(self.patterns))
            out.append(f".pattern = {c_string(r.pattern)}, .pattern_slot = &pattern_slots[{slot}]")
        if r.format:
            out.append(f".format = {c_string(r.format)}")
        for f in ("in", "not_in"):
            if getattr(r, f):
                out.append(f".{f} = {self.strings(f, getattr(r, f))}")
        for f in ("items", "keys"):
            if r.HasField(f):
                out.append(f".{f} = {self.ref(getattr(r, f))}")
        return ", ".join(out)


def names_table(side, index):
    """The spellings of all fields, sorted by length, then bytes: what sld_msg_field_index searches."""
    names = {}
    for i, f in enumerate(side.fields):
        for spelling in (f["name"], f["json"]):
            if names.setdefault(spelling, i) != i:
                sys.exit(f"{side.name}: two fields are called {spelling}")
    ordered = sorted(names, key=lambda n: (len(n), n))
    rows = ", ".join(f"{{{c_string(n)}, {len(n)}, {names[n]}}}" for n in ordered)
    return f"static const struct sld_field_name names_{index}[] = {{{rows}}};\n", len(ordered)


def wkt_of(side):
    prefix, _, name = side.name.rpartition(".")
    kind = WKT.get(name) if prefix == "google.protobuf" else None
    return f"SLD_WKT_{kind or 'NONE'}"


def schema_c(sides, symbols, headers):
    rules = Rules()
    body, rows = [], []
    for index, side in enumerate(sides):
        fields = []
        for f in side.fields:
            r = f["rules"]
            fields.append("    {" + ", ".join([
                f".json_name = {c_string(f['json'])}", f".doc = {c_string(f['doc'])}",
                f".default_text = {c_string(r.default or None)}", f".oneof = {c_string(f['oneof'])}",
                f".is_map = {str(f['map']).lower()}", f".sensitive = {str(r.sensitive).lower()}",
                f".state = SLD_STATE_{STATES[r.state]}", f".rules = {rules.ref(r)}"]) + "},\n")
        if fields:
            body.append(f"static const struct sld_field_info fields_{index}[] = {{\n{''.join(fields)}}};\n")
            text, name_count = names_table(side, index)
            body.append(text)
        if side.oneofs:
            items = ", ".join(f"{{{c_string(n)}, {str(req).lower()}}}" for n, req in side.oneofs)
            body.append(f"static const struct sld_oneof_info oneofs_{index}[] = {{{items}}};\n")
        rows.append(
            f"    {{.desc = &{symbols[side.name]}__descriptor, .doc = {c_string(side.doc)},"
            f" .fields = {f'fields_{index}' if fields else 'NULL'},"
            f" .names = {f'names_{index}' if fields else 'NULL'},"
            f" .name_count = {name_count if fields else 0},"
            f" .oneofs = {f'oneofs_{index}' if side.oneofs else 'NULL'},"
            f" .oneof_count = {len(side.oneofs)}, .unchecked = {str(side.unchecked).lower()},"
            f" .map_entry = {str(side.is_entry).lower()}, .wkt = {wkt_of(side)}}},\n")
    includes = "".join(f'#include "{h}"\n' for h in headers)
    slots = f"static _Atomic(void *) pattern_slots[{max(1, len(rules.patterns))}];\n"
    return ("// Generated by core/codec/gen/schema.py.\n#include \"codec/message.h\"\n\n" + includes
            + "\n" + slots + "".join(rules.text) + "".join(body)
            + "static const struct sld_msg_info msgs[] = {\n" + "".join(rows) + "};\n"
            + f"const struct sld_schema sld_schema = {{msgs, {len(sides)}}};\n")


def number_descriptors(text, symbols, order):
    """Puts each message's place in the table (from 1) into its descriptor's first reserved word."""
    pattern = re.compile(
        r'const ProtobufCMessageDescriptor (\w+)__descriptor =\n\{\n'
        r'  PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,\n  "([\w.]+)",(.*?)'
        r'  NULL,NULL,NULL    /\* reserved\[123\] \*/\n\};', re.S)

    def one(m):
        number = order[m.group(2)] + 1
        return m.group(0).replace("NULL,NULL,NULL ", f"(void *){number},NULL,NULL ")

    for m in pattern.finditer(text):
        symbols[m.group(2)] = m.group(1)
    return pattern.sub(one, text)


def write(path, data):
    if isinstance(data, str):
        data = data.encode()
    if os.path.exists(path):
        with open(path, "rb") as f:
            if f.read() == data:
                return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--root", action="append", default=[])
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        files, options = load(args, tmp)
        kept = [f for f in files.file
                if f.name not in (OPTIONS, "google/protobuf/descriptor.proto")]
        sides = []
        for f in kept:
            if f.syntax != "proto3":
                sys.exit(f"{f.name}: only proto3 is supported")
            ours = not f.name.startswith("google/protobuf/")
            comments = comments_of(f) if ours else {}
            sides += [Side(n, m, p, comments, options) for n, m, p in each_message(f)]
            strip(f)
        sides.sort(key=lambda s: s.name)
        order = {s.name: i for i, s in enumerate(sides)}
        del files.file[:]
        files.file.extend(kept)
        desc = os.path.join(tmp, "schema.desc")
        with open(desc, "wb") as f:
            f.write(files.SerializeToString(deterministic=True))
        out = os.path.join(tmp, "c")
        os.mkdir(out)
        names = [f.name for f in kept]
        subprocess.run(["protoc-c", f"--descriptor_set_in={desc}", f"--c_out={out}", *names], check=True)
        symbols = {}
        for name in names:
            base = name[:-len(".proto")]
            for ext in (".pb-c.c", ".pb-c.h"):
                with open(os.path.join(out, base + ext)) as f:
                    text = f.read()
                if ext == ".pb-c.c":
                    text = number_descriptors(text, symbols, order)
                write(os.path.join(args.out, base + ext), text)
        headers = [n[:-len(".proto")] + ".pb-c.h" for n in names]
        write(os.path.join(args.out, "schema.c"), schema_c(sides, symbols, headers))
        with open(desc, "rb") as f:
            write(os.path.join(args.out, "schema.desc"), f.read())


main()
