"""The schema of users' resources: kinds, JSON names, states, and that everything is documented."""

import importlib
import os
import re
import subprocess
import sys

import pytest

try:
    from google.protobuf import descriptor_pb2
except ImportError:  # an interpreter that does not look where the distribution keeps its packages
    sys.path.append("/usr/lib/python3/dist-packages")
    from google.protobuf import descriptor_pb2

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "core/model/proto")
CODEC = os.path.join(ROOT, "core/codec/proto")
KINDS = """Artifact Gateway HttpListenerOption ListenerOption MatchableHttpGateway MatchableTcpGateway
           Plugin Proxy RouteOption RouteTable Secret Settings Upstream UpstreamGroup VirtualHostOption
           VirtualService""".split()
NAMES = {
    "Status.Messages": "Messages",
    "HttpConnectionManagerSettings.accept_http_10": "acceptHttp10",
    "HttpConnectionManagerSettings.default_host_for_http_10": "defaultHostForHttp10",
    "HttpConnectionManagerSettings.proxy_100_continue": "proxy100Continue",
    "HttpConnectionManagerSettings.max_request_headers_kb": "maxRequestHeadersKb",
    "ZipkinConfig.trace_id_128bit": "traceId128bit",
    "OutlierDetection.consecutive_5xx": "consecutive5xx",
    "OutlierDetection.enforcing_consecutive_5xx": "enforcingConsecutive5xx",
    "Settings.ip_v4_only": "ipV4Only",
    "Settings.consulDiscovery": "consulDiscovery",
    "Settings.observabilityOptions": "observabilityOptions",
    "Settings.upstreamOptions": "upstreamOptions",
    "KubernetesConfiguration.RateLimits.QPS": "QPS",
    "GlooOptions.AWSOptions.enable_credentials_discovey": "enableCredentialsDiscovey",
    "ConsulUpstreamDiscoveryConfiguration.useTlsTagging": "useTlsTagging",
    "ConsulUpstream.consistencyMode": "consistencyMode",
    "SubsetSpec.fallbackPolicy": "fallbackPolicy",
    "Proxy.compressedSpec": "compressedSpec",
    "Upstream.aws_ec2": "awsEc2",
    "Upstream.use_http2": "useHttp2",
    "Upstream.static": "static",
    "HeaderValidationSettings.disable_http1_method_validation": "disableHttp1MethodValidation",
    "SslConfig.one_way_tls": "oneWayTls",
    "DynamicForwardProxyRoute.auto_host_rewrite_header": "autoHostRewriteHeader",
}
SENSITIVE = """TlsSecret.private_key AwsSecret.access_key AwsSecret.secret_key AwsSecret.session_token
               AzureSecret.api_keys HeaderSecret.headers OauthSecret.client_secret ApiKeySecret.api_key
               AccountCredentialsSecret.password EncryptionKeySecret.key Secret.extensions
               VaultSecrets.token VaultSecrets.access_token VaultAwsAuth.access_key_id
               VaultAwsAuth.secret_access_key VaultAwsAuth.session_token ConsulConfiguration.token
               ConsulConfiguration.password VaultAppRoleAuth.secret_id VaultJwtAuth.jwt VaultUserpassAuth.password""".split()
STATES = {
    "Gateway.http_gateway": "BUILT", "Gateway.hybrid_gateway": "KNOWN", "Upstream.kube": "KNOWN",
    "Upstream.gcp": "ENTERPRISE", "Upstream.dns_refresh_rate": "OPTION", "RouteOptions.jwt": "ENTERPRISE",
    "RouteOptions.extensions": "BUILT", "SslConfig.sds": "KNOWN", "SslConfig.ssl_files": "BUILT",
    "HttpConnectionManagerSettings.tracing": "OPTION", "DelegateAction.name": "DEPRECATED",
}


OPTIONS = """HttpListenerOptions ListenerOptions RouteConfigurationOptions RouteOptions TcpListenerOptions
             VirtualHostOptions WeightedDestinationOptions""".split()


class Model:
    def __init__(self, folder):
        includes = [f"-I{d}" for d in (CODEC, MODEL, "/usr/include")]
        files = sorted(f for f in os.listdir(MODEL) if f.endswith(".proto"))
        out = os.path.join(folder, "model.desc")
        subprocess.run(["protoc", *includes, f"--python_out={folder}", "solder/options.proto"], check=True)
        subprocess.run(["protoc", *includes, "--include_imports", "--include_source_info",
                        f"--descriptor_set_out={out}", *files], check=True)
        sys.path.insert(0, folder)
        self.options = importlib.import_module("solder.options_pb2")
        with open(out, "rb") as f:
            self.files = [f for f in descriptor_pb2.FileDescriptorSet.FromString(f.read()).file
                          if f.package == "gloo"]
        self.messages, self.fields, self.undocumented = {}, {}, []
        for file in self.files:
            told = {tuple(at.path) for at in file.source_code_info.location
                    if at.leading_comments.strip()}
            for i, m in enumerate(file.message_type):
                self.add("", m, (4, i), told)
            for i, e in enumerate(file.enum_type):
                self.add_enum("", e, (5, i), told)

    def add(self, prefix, message, path, told):
        name = prefix + message.name
        if message.options.map_entry:
            return
        self.messages[name] = message
        self.need(name, path, told)
        for i, f in enumerate(message.field):
            self.fields[f"{name}.{f.name}"] = f
            self.need(f"{name}.{f.name}", path + (2, i), told)
        for i, o in enumerate(message.oneof_decl):
            self.need(f"{name}.{o.name}", path + (8, i), told)
        for i, m in enumerate(message.nested_type):
            self.add(name + ".", m, path + (3, i), told)
        for i, e in enumerate(message.enum_type):
            self.add_enum(name + ".", e, path + (4, i), told)

    def add_enum(self, prefix, enum, path, told):
        self.need(prefix + enum.name, path, told)
        for i, v in enumerate(enum.value):
            self.need(f"{prefix}{enum.name}.{v.name}", path + (2, i), told)

    def need(self, name, path, told):
        if path not in told:
            self.undocumented.append(name)

    def rules(self, field):
        return self.fields[field].options.Extensions[self.options.field]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Model(str(tmp_path_factory.mktemp("model")))


def test_kinds(model):
    for kind in KINDS:
        assert kind in model.messages, kind
        metadata, statuses = (model.fields[f"{kind}.{n}"] for n in ("metadata", "namespaced_statuses"))
        assert (metadata.number, metadata.type_name) == (1, ".gloo.Metadata"), kind
        assert (statuses.number, statuses.type_name) == (2, ".gloo.NamespacedStatuses"), kind


@pytest.mark.parametrize("field", NAMES)
def test_json_name(model, field):
    rules = model.rules(field)
    assert (rules.json_name or model.fields[field].json_name) == NAMES[field]


def test_sensitive(model):
    assert [f for f in SENSITIVE if not model.rules(f).sensitive] == []


@pytest.mark.parametrize("field", STATES)
def test_state(model, field):
    assert model.options.State.Name(model.rules(field).state) == STATES[field]


def test_options_are_served_by_features_alone(model):
    """Whether an option has an effect is told by the table of features, not by the schema beside it."""
    marked = [n for n, m in model.messages.items() if m.options.Extensions[model.options.message].options]
    assert sorted(marked) == OPTIONS
    for name in marked:
        for f in model.messages[name].field:
            state = model.options.State.Name(model.rules(f"{name}.{f.name}").state)
            assert state in ("BUILT", "ENTERPRISE", "IGNORED", "DEPRECATED"), f"{name}.{f.name}: {state}"


def test_everything_is_documented(model):
    assert model.undocumented == []


def test_numbers_are_sequential_and_nothing_is_optional(model):
    for name, m in model.messages.items():
        assert sorted(f.number for f in m.field) == list(range(1, len(m.field) + 1)), name
        assert not any(f.proto3_optional for f in m.field), name
        assert "base" not in [f.name for f in m.field], name  # taken by the C struct


def test_formats_are_known(model):
    with open(os.path.join(ROOT, "core/codec/format.c")) as f:
        known = set(re.findall(r'^    \{"(\w+)", \w+, "', f.read(), re.M))
    assert "regex" in known

    def used(rules):
        yield rules.format
        for part in ("items", "keys"):
            if rules.HasField(part):
                yield from used(getattr(rules, part))

    all_used = {f for field in model.fields for f in used(model.rules(field))} - {""}
    assert all_used - known == set()


def test_enums_are_checked(model):
    """A number that is no value of its enum is an error wherever users write one."""
    enum = descriptor_pb2.FieldDescriptorProto.TYPE_ENUM
    for name, f in model.fields.items():
        if f.type == enum and name != "Status.state":  # a report, not written by users
            rules = model.rules(name)
            assert rules.defined_only or rules.items.defined_only, name


def test_enterprise_messages_are_free_in_form(model):
    typed = {"Settings.ratelimit", "Settings.named_extauth", "ObservabilityOptions.grafanaIntegration",
             "RateLimitActions.set_actions", "StaticHost.health_check_config",
             "ExtauthExtension.config_ref"}
    message = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
    for name, f in model.fields.items():
        if model.rules(name).state == model.options.ENTERPRISE and f.type == message and name not in typed:
            assert f.type_name.startswith(".google.protobuf."), name
