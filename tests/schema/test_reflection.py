"""Codec's message reflection against Google's implementation, with random messages.

The seed is printed with every failure; SLD_SEED repeats a run, SLD_ROUNDS makes it longer.
"""

import math
import os
import random
import struct
import subprocess
import sys

import pytest

try:
    from google.protobuf import descriptor_pb2
except ImportError:  # an interpreter that does not look where the distribution keeps its packages
    sys.path.append("/usr/lib/python3/dist-packages")
    from google.protobuf import descriptor_pb2
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import DecodeError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SLD_BUILD", os.path.join(ROOT, "build"))
SEED = int(os.environ.get("SLD_SEED", random.SystemRandom().randrange(1 << 32)))
ROUNDS = int(os.environ.get("SLD_ROUNDS", "300"))


class Codec:
    """The C side, behind a pipe."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, command, name, data):
        body = command.encode() + bytes([len(name)]) + name.encode() + data
        self.process.stdin.write(struct.pack(">I", len(body)) + body)
        self.process.stdin.flush()
        head = self.process.stdout.read(4)
        assert len(head) == 4, "codec died"
        answer = self.process.stdout.read(struct.unpack(">I", head)[0])
        return answer[:1] == b"+", answer[1:]

    def ok(self, command, name, data):
        good, answer = self.ask(command, name, data)
        assert good, answer.decode()
        return answer

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0


class Schema:
    def __init__(self, folder):
        self.pool = descriptor_pool.DescriptorPool()
        with open(os.path.join(BUILD, folder, "schema.desc"), "rb") as f:
            files = descriptor_pb2.FileDescriptorSet.FromString(f.read())
        self.names = []
        for file in files.file:
            self.pool.Add(file)
            if not file.name.startswith("google/protobuf/"):
                self.names += [f"{file.package}.{m.name}" for m in file.message_type]
        self.factory = message_factory.MessageFactory(self.pool)

    def new(self, name):
        return self.factory.GetPrototype(self.pool.FindMessageTypeByName(name))()


INTS = {
    F.TYPE_INT32: (-2**31, 2**31 - 1), F.TYPE_SINT32: (-2**31, 2**31 - 1), F.TYPE_SFIXED32: (-2**31, 2**31 - 1),
    F.TYPE_INT64: (-2**63, 2**63 - 1), F.TYPE_SINT64: (-2**63, 2**63 - 1), F.TYPE_SFIXED64: (-2**63, 2**63 - 1),
    F.TYPE_UINT32: (0, 2**32 - 1), F.TYPE_FIXED32: (0, 2**32 - 1),
    F.TYPE_UINT64: (0, 2**64 - 1), F.TYPE_FIXED64: (0, 2**64 - 1),
}
WORDS = ["", "a", "yes", "null", "~", "true", "1", "0x1f", "1.0", "- a", "a: b", "a #b", "#", "{}", "[", "*", "&x", "!",
         "|", ">", "%", "@", "`", "'", '"', "\\", "\n", "a\nb\n", "\t", " a ", "ä", "日本", "\U0001f600", "\x01", "\x7f",
         "\u0085", "\u2028", "\ufeff", "a:", ":a", "a\\u0041", "=", "<<", ".inf", "---", "...", "2001-01-01", "1e3", "-",
         "NaN", "\u00a0", "x" * 300, "/a/b?c=d&e=f", "key: 'v'"]


class Maker:
    """Fills messages at random."""

    def __init__(self, schema, rnd):
        self.schema, self.rnd = schema, rnd

    def scalar(self, field):
        rnd = self.rnd
        if field.type in INTS:
            low, high = INTS[field.type]
            return rnd.choice([0, 1, low, high, rnd.randint(low, high), rnd.randint(0, 200)])
        if field.type == F.TYPE_BOOL:
            return rnd.random() < 0.7
        if field.type == F.TYPE_ENUM:
            numbers = [v.number for v in field.enum_type.values]
            if field.enum_type.full_name != "google.protobuf.NullValue":
                numbers.append(4711)
            return rnd.choice(numbers)
        if field.type == F.TYPE_STRING:
            return self.text()
        if field.type == F.TYPE_BYTES:
            return rnd.randbytes(rnd.choice([0, 1, 2, 3, 4, 50]))
        value = rnd.choice([0.0, -0.0, 1.5, 1e300, -1e-300, math.inf, -math.inf, math.nan, rnd.random(), rnd.gauss(0, 1e6),
                            float(rnd.randint(-2**53, 2**53)), 0.1, 5e-324])
        if field.type == F.TYPE_FLOAT:
            if math.isfinite(value) and abs(value) > 3e38:
                value = 3e38
            value = struct.unpack("f", struct.pack("f", value))[0]
        return value

    def text(self):
        rnd = self.rnd
        if rnd.random() < 0.6:
            return rnd.choice(WORDS)
        return "".join(rnd.choice("abc-_./:# \"'\\{}[],&*!|>%@`é€😀\n\t0123456789") for _ in range(rnd.randrange(40)))

    def known(self, m, depth):
        """Fills a message with a JSON form of its own; False when M is none."""
        rnd, name = self.rnd, m.DESCRIPTOR.full_name
        if name == "google.protobuf.Duration":
            sign = rnd.choice([1, -1])
            m.seconds = sign * rnd.choice([0, 1, 3600, 315576000000 - 1, rnd.randrange(10**6)])
            m.nanos = sign * rnd.choice([0, 1, 500000000, 999999999, 1000, rnd.randrange(10**9)])
        elif name == "google.protobuf.Timestamp":
            m.seconds = rnd.choice([0, -62135596800, 253402300799, rnd.randint(-62135596800, 253402300799)])
            m.nanos = rnd.choice([0, 1, 500000000, 999999999, rnd.randrange(10**9)])
        elif name == "google.protobuf.FieldMask":
            m.paths.extend(rnd.choice(["a", "a_b", "long_name.part_two"]) for _ in range(rnd.randrange(3)))
        elif name == "google.protobuf.Value":
            kind = rnd.randrange(6 if depth > 0 else 4)
            if kind == 0:
                m.null_value = 0
            elif kind == 1:
                m.number_value = rnd.choice([0.0, 1.0, -2.5, 1e100, float(rnd.randint(-2**53, 2**53)), rnd.random()])
            elif kind == 2:
                m.string_value = self.text()
            elif kind == 3:
                m.bool_value = rnd.random() < 0.5
            elif kind == 4:
                m.struct_value.SetInParent()
                self.fill(m.struct_value, depth - 1)
            else:
                m.list_value.SetInParent()
                self.fill(m.list_value, depth - 1)
        elif name == "google.protobuf.Any":
            if rnd.random() < 0.9:
                inner = self.schema.new(rnd.choice(self.schema.names + ["google.protobuf.Duration",
                                                                        "google.protobuf.BoolValue"]))
                self.fill(inner, depth - 1)
                m.Pack(settle(self.schema, inner), deterministic=True)
        else:
            return False
        return True

    def fill(self, m, depth):
        if self.known(m, depth):
            return
        rnd = self.rnd
        fields = list(m.DESCRIPTOR.fields)
        wanted = rnd.choice([0.1, 0.3, 0.9]) if len(fields) < 40 else 4 / len(fields)
        rnd.shuffle(fields)
        for f in fields:
            is_message = f.type == F.TYPE_MESSAGE
            is_map = is_message and f.message_type.GetOptions().map_entry
            if rnd.random() > wanted or (is_message and depth <= 0):
                continue
            if is_map:
                key, value = f.message_type.fields_by_name["key"], f.message_type.fields_by_name["value"]
                for _ in range(rnd.randrange(5)):
                    if value.type == F.TYPE_MESSAGE:
                        self.fill(getattr(m, f.name)[self.scalar(key)], depth - 1)
                    else:
                        getattr(m, f.name)[self.scalar(key)] = self.scalar(value)
            elif f.label == F.LABEL_REPEATED:
                for _ in range(rnd.choice([1, 2, 5])):
                    if is_message:
                        self.fill(getattr(m, f.name).add(), depth - 1)
                    else:
                        getattr(m, f.name).append(self.scalar(f))
            elif is_message:
                getattr(m, f.name).SetInParent()
                self.fill(getattr(m, f.name), depth - 1)
            else:
                setattr(m, f.name, self.scalar(f))


def canonical(m):
    return m.SerializeToString(deterministic=True)


def settle(schema, m, repack=True):
    """Packs every Any inside M again, in canonical form: the reference's JSON reader does not. Without REPACK
    only the repeated keys of maps go, which the reference drops when somebody looks."""
    if m.DESCRIPTOR.full_name == "google.protobuf.Any":
        if not repack:
            return m
        try:
            inner = schema.new(m.type_url.split("/")[-1])
            inner.ParseFromString(m.value)
            m.value = canonical(settle(schema, inner))
        except (KeyError, DecodeError):
            pass  # empty, of no type, or damaged on purpose
        return m
    for f, value in m.ListFields():
        if f.type != F.TYPE_MESSAGE:
            continue
        if f.message_type.GetOptions().map_entry:
            len(value)  # drops them
            if f.message_type.fields_by_name["value"].type == F.TYPE_MESSAGE:
                for v in value.values():
                    settle(schema, v, repack)
        elif f.label == F.LABEL_REPEATED:
            for v in value:
                settle(schema, v, repack)
        else:
            settle(schema, value, repack)
    return m


@pytest.fixture(scope="module", params=[("gen_test", "reflect_sld_schema_test"), ("gen", "reflect_sld_schema")],
                ids=["test-schema", "product-schema"])
def world(request):
    folder, program = request.param
    schema = Schema(folder)
    if not schema.names:
        pytest.skip("the schema is empty")
    codec = Codec(os.path.join(BUILD, "tests", program))
    yield schema, codec
    codec.close()


def messages(schema, salt):
    rnd = random.Random(f"{SEED} {salt}")
    maker = Maker(schema, rnd)
    for i in range(ROUNDS):
        name = rnd.choice(schema.names)
        m = schema.new(name)
        maker.fill(m, 4)
        yield f"seed {SEED} round {i} {name}", name, m


def same(schema, name, data, m):
    """DATA, read by the reference, is M."""
    back = schema.new(name)
    back.ParseFromString(data)
    return canonical(settle(schema, back)) == canonical(settle(schema, m))


def test_constraints_are_sound(world):
    """Every format that a .proto file names exists, every pattern compiles."""
    schema, codec = world

    def walk(m):
        yield m.full_name
        for inner in m.nested_types:
            yield from walk(inner)

    for name in schema.names:
        for full_name in walk(schema.pool.FindMessageTypeByName(name)):
            good, words = codec.ask("s", full_name, b"")
            assert good, f"{full_name}: {words.decode()}"


def test_wire_bytes_survive(world):
    schema, codec = world
    for where, name, m in messages(schema, "wire"):
        assert codec.ok("r", name, m.SerializeToString()) == canonical(m), where
        assert codec.ok("c", name, m.SerializeToString()) == canonical(m), where


def test_json_is_understood_by_the_reference(world):
    schema, codec = world
    for where, name, m in messages(schema, "to json"):
        text = codec.ok("j", name, m.SerializeToString()).decode()
        back = json_format.Parse(text, schema.new(name), descriptor_pool=schema.pool)
        assert canonical(settle(schema, back)) == canonical(m), f"{where}\n{text}"


def test_json_of_the_reference_is_understood(world):
    schema, codec = world
    for where, name, m in messages(schema, "from json"):
        for snake in (False, True):
            text = json_format.MessageToJson(m, preserving_proto_field_name=snake, descriptor_pool=schema.pool)
            good, data = codec.ask("w", name, text.encode())
            assert good, f"{where}: {data.decode()}\n{text}"
            assert data == canonical(m), f"{where}\n{text}"


def test_yaml_comes_back(world):
    schema, codec = world
    for where, name, m in messages(schema, "yaml"):
        text = codec.ok("y", name, m.SerializeToString())
        good, data = codec.ask("w", name, text)
        assert good, f"{where}: {data.decode()}\n{text.decode()}"
        assert data == canonical(m), f"{where}\n{text.decode()}"


def test_concatenated_messages_merge(world):
    schema, codec = world
    both = list(messages(schema, "merge"))
    for (where, name, m), (_, other_name, other) in zip(both, both[1:]):
        if name != other_name:
            other = m
        data = m.SerializeToString() + other.SerializeToString()
        merged = schema.new(name)
        merged.ParseFromString(data)
        # Two Anys merge field by field: the type of one may meet the bytes of the other, which are no canonical form
        # of that type. They stay as they are.
        assert codec.ok("r", name, data) == canonical(settle(schema, merged, repack=False)), where


def test_broken_bytes_are_judged_alike(world):
    """Damaged bytes: what both accept means the same; what the reference refuses is refused."""
    schema, codec = world
    rnd = random.Random(f"{SEED} broken")
    accepted = 0
    for where, name, m in messages(schema, "broken"):
        data = bytearray(m.SerializeToString())
        if not data:
            continue
        for _ in range(rnd.randint(1, 3)):
            data[rnd.randrange(len(data))] = rnd.randrange(256)
        data = bytes(data[:rnd.randint(1, len(data))] if rnd.random() < 0.3 else data)
        theirs = schema.new(name)
        try:
            theirs.ParseFromString(data)
        except DecodeError:
            theirs = None
        good, ours = codec.ask("r", name, data)
        if theirs is None:
            assert not good, where
        elif good:
            accepted += 1
            assert same(schema, name, ours, theirs), where
    assert accepted > 0
