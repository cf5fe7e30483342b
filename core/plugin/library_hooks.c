// What hooks are, and what they are given: for the manual and for editors. The examples are run by tests, as they stand.
#include "plugin/library.h"

// ---- Hooks ----

#define SHOP(options) \
    "local shop = [[\n" \
    "apiVersion: gateway.solo.io/v1\n" \
    "kind: VirtualService\n" \
    "metadata: {name: shop, namespace: gloo-system}\n" \
    "spec:\n" \
    "  virtualHost:\n" \
    "    domains: [\"*\"]\n" options "]]\n"
#define ROUTE \
    "    routes:\n" \
    "    - matchers: [{prefix: /}]\n" \
    "      directResponseAction: {status: 200}\n"
#define TEST "local t = require \"solder.test\"\n\n"

const struct pl_hook_doc pl_hook_docs[] = {
    {.hook = SLD_HOOK_AUTHORIZE,
     .params = "conf, req",
     .type = "fun(conf: table, req: plugin.Request): boolean?",
     .doc = "Decides about a request: true or nothing lets it pass, false is 403, req:deny{} says more. It is configured at routes and virtual hosts "
            "(`options.extensions.configs.<plugin>`). It runs in Solder's worker, where it may wait for others, or with `runs = \"envoy\"` in "
            "Envoy, where it may not. Who fails, or takes too long, lets nobody pass (503), but with `onError: open`.",
     .example = "local s = require \"solder.schema\"\n\n"
                "return {\n"
                "  api = 1, name = \"example\",\n"
                "  schema = s.record{tenants = s.list(s.string{}, {default = {\"acme\"}})},\n"
                "  authorize = function(conf, req)\n"
                "    for _, tenant in ipairs(conf.tenants) do\n"
                "      if req.headers[\"x-tenant\"] == tenant then\n"
                "        req:set_header(\"x-known\", \"yes\")\n"
                "        return true\n"
                "      end\n"
                "    end\n"
                "    return req:deny{status = 401, headers = {[\"www-authenticate\"] = \"Tenant\"}, body = \"who are you?\\n\"}\n"
                "  end,\n"
                "}",
     .spec = TEST "t.it(\"knows its tenants\", function()\n"
                  "  t.equal(t.exchange{headers = {[\"x-tenant\"] = \"acme\"}}.forwarded.headers[\"x-known\"], \"yes\")\n"
                  "  t.equal(t.exchange{}.status, 401)\n"
                  "end)"},
    {.hook = SLD_HOOK_CHECK,
     .params = "conf, fail",
     .type = "fun(conf: table, fail: fun(path: string, words: string))",
     .doc = "Says what is wrong with a configuration beyond what its schema can say: each fail(path, words) is a finding on the document that "
            "holds it, which does not count then; its last accepted form goes on.",
     .example = "local s = require \"solder.schema\"\n\n"
                "return {\n"
                "  api = 1, name = \"example\",\n"
                "  schema = s.record{least = s.integer{default = 1}, most = s.integer{default = 10}},\n"
                "  check = function(conf, fail)\n"
                "    if conf.least > conf.most then\n"
                "      fail(\"least\", \"it is more than most\")\n"
                "    end\n"
                "  end,\n"
                "  shape_route = function(conf, route) end,\n"
                "}",
     .spec = TEST SHOP(ROUTE "      options: {extensions: {configs: {example: {least: 20}}}}\n")
         "t.it(\"compares them\", function()\n"
         "  t.expect_finding(shop, \"it is more than most\")\n"
         "end)"},
    {.hook = SLD_HOOK_DISCOVER,
     .params = "conf, d",
     .type = "fun(conf: table, d: plugin.Discovery)",
     .doc = "A task without an end that finds upstreams. What it publishes are documents of kind Upstream with the label discovered_by, to which "
            "routes refer as to any other. What it published stays while it fails; it is started again, after 1 s, then later and later. Its "
            "configuration is `config` of its Plugin document.",
     .example = "local json = require \"solder.json\"\n"
                "local s = require \"solder.schema\"\n\n"
                "return {\n"
                "  api = 1, name = \"example\", needs = {\"http\"},\n"
                "  schema = s.record{url = s.url{default = \"http://registry.example/services\"}},\n"
                "  discover = function(conf, d)\n"
                "    d.every(\"10s\", function()\n"
                "      local answer, words = d.http{url = conf.url}\n"
                "      if not answer then error(words, 0) end\n"
                "      local upstreams = {}\n"
                "      for name, endpoints in pairs(json.decode(answer.body)) do\n"
                "        upstreams[name] = {endpoints = endpoints}\n"
                "      end\n"
                "      d.publish{upstreams = upstreams}\n"
                "    end)\n"
                "  end,\n"
                "}",
     .spec = TEST "t.it(\"publishes what the registry says\", function()\n"
                  "  local w = t.world()\n"
                  "  w:http(\"GET http://registry.example/services\", {body = '{\"shop\": [\"10.0.0.1:80\"]}'})\n"
                  "  w:discover{}\n"
                  "  w:pass \"1s\"\n"
                  "  t.equal(w:endpoints \"shop\", {\"10.0.0.1:80\"})\n"
                  "end)"},
    {.hook = SLD_HOOK_EXTRA,
     .params = "conf, add, ctx",
     .type = "fun(conf: table, add: plugin.Adder, ctx: plugin.Context)",
     .doc = "Adds clusters and secrets for Envoys, which filters and routes of the plugin refer to as `extra:<plugin>/<name>`. It runs once for each "
            "plugin, and again when the plugin, its document or what it looked at changed. Its configuration is `config` of its Plugin document.",
     .example = "return {\n"
                "  api = 1, name = \"example\",\n"
                "  extra = function(conf, add)\n"
                "    local c = add:cluster(\"audit\")\n"
                "    c.type = \"STRICT_DNS\"\n"
                "    c.connect_timeout = \"2s\"\n"
                "    c.load_assignment = {cluster_name = c.name, endpoints = {{lb_endpoints = {{endpoint = {address = {\n"
                "      socket_address = {address = \"audit.internal\", port_value = 9000},\n"
                "    }}}}}}}\n"
                "  end,\n"
                "}",
     .spec = TEST "local documents = [[\n"
                  "apiVersion: solder.dev/v1\n"
                  "kind: Plugin\n"
                  "metadata: {name: example, namespace: gloo-system}\n"
                  "---\n"
                  "]]\n" SHOP(ROUTE) "t.it(\"adds its cluster\", function()\n"
                                     "  t.expect_xds(documents .. shop, \"cds\", \"extra:example/audit\", {connect_timeout = \"2s\"})\n"
                                     "end)"},
    {.hook = SLD_HOOK_LOG,
     .params = "conf, entries",
     .type = "fun(conf: table, entries: plugin.Entry[])",
     .doc = "Gets what Envoys log of a gateway's requests, each second or sooner, 1000 entries at most. It is configured at the options of an HTTP "
            "gateway, and nowhere else. It may wait for others, 30 s; one call at a time for each of Envoy's threads, while 10000 entries may "
            "wait. What does not fit, and what it failed with, is dropped, and counted.",
     .example = "local http = require \"solder.http\"\n"
                "local json = require \"solder.json\"\n"
                "local s = require \"solder.schema\"\n\n"
                "return {\n"
                "  api = 1, name = \"example\", needs = {\"http\"},\n"
                "  log_headers = {request = {\"x-tenant\"}},\n"
                "  schema = s.record{url = s.url{default = \"http://logs.example/\"}},\n"
                "  log = function(conf, entries)\n"
                "    local answer, words = http.request{url = conf.url, method = \"POST\", body = json.encode(entries)}\n"
                "    if not answer then error(words, 0) end\n"
                "  end,\n"
                "}",
     .spec = TEST "t.it(\"sends entries on\", function()\n"
                  "  local w = t.world()\n"
                  "  w:http(\"POST http://logs.example/\", {status = 204})\n"
                  "  t.log({}, {{path = \"/\", status = 200}})\n"
                  "  t.matches(w:last_request().body, '\"status\":200')\n"
                  "end)"},
    {.hook = SLD_HOOK_SECRET,
     .params = "conf, ref",
     .type = "fun(conf: table, ref: string): table?, string?",
     .doc = "Gives the secret that documents refer to as `plugin:<plugin>/<ref>`: one kind of Gloo's Secret, and `expires_in`, before which it is "
            "asked again; nil where there is none; or nil and words. It may wait. Its configuration is `config` of its Plugin document.",
     .example = "local s = require \"solder.schema\"\n\n"
                "return {\n"
                "  api = 1, name = \"example\",\n"
                "  schema = s.record{prefix = s.string{default = \"key of \"}},\n"
                "  secret = function(conf, ref)\n"
                "    if ref == \"nobody\" then\n"
                "      return nil, \"nobody has a key\"\n"
                "    end\n"
                "    return {apiKey = {apiKey = conf.prefix .. ref}, expires_in = \"1h\"}\n"
                "  end,\n"
                "}",
     .spec = TEST "t.it(\"gives keys\", function()\n"
                  "  local w = t.world{now = 1000}\n"
                  "  local secret, ends = w:secret(\"ann\")\n"
                  "  t.equal(secret, {apiKey = {apiKey = \"key of ann\"}})\n"
                  "  t.equal(ends, 4600)\n"
                  "  local none, words = w:secret(\"nobody\")\n"
                  "  t.equal(none, nil)\n"
                  "  t.matches(words, \"nobody has a key\")\n"
                  "end)"},
    {.hook = SLD_HOOK_SHAPE_DESTINATION,
     .params = "conf, weight, ctx",
     .type = "fun(conf: table, weight: envoy.config.route.v3.WeightedCluster.ClusterWeight, ctx: plugin.Context)",
     .doc = "Edits what Envoy is told of a weighted destination that has a configuration of the plugin.",
     .example = "return {\n"
                "  api = 1, name = \"example\",\n"
                "  shape_destination = function(conf, weight)\n"
                "    table.insert(weight.response_headers_to_add, {header = {key = \"x-variant\", value = weight.name}})\n"
                "  end,\n"
                "}",
     .spec = TEST "local shop = [[\n"
                  "apiVersion: gloo.solo.io/v1\n"
                  "kind: Upstream\n"
                  "metadata: {name: one, namespace: gloo-system}\n"
                  "spec: {static: {hosts: [{addr: 10.0.0.1, port: 80}]}}\n"
                  "---\n"
                  "apiVersion: gateway.solo.io/v1\n"
                  "kind: VirtualService\n"
                  "metadata: {name: shop, namespace: gloo-system}\n"
                  "spec:\n"
                  "  virtualHost:\n"
                  "    domains: [\"*\"]\n"
                  "    routes:\n"
                  "    - matchers: [{prefix: /}]\n"
                  "      routeAction:\n"
                  "        multi:\n"
                  "          destinations:\n"
                  "          - weight: 1\n"
                  "            destination: {upstream: {name: one, namespace: gloo-system}}\n"
                  "            options: {extensions: {configs: {example: {}}}}\n"
                  "]]\n"
                  "t.it(\"names the variant\", function()\n"
                  "  t.expect_xds(shop, \"rds\", {virtual_hosts = {{routes = {{route = {weighted_clusters = {clusters = {\n"
                  "    {response_headers_to_add = {{header = {key = \"x-variant\", value = \"one_gloo-system\"}}}},\n"
                  "  }}}}}}}})\n"
                  "end)"},
    {.hook = SLD_HOOK_SHAPE_LISTENER,
     .params = "conf, listener, ctx",
     .type = "fun(conf: table, listener: envoy.config.listener.v3.Listener, ctx: plugin.ListenerContext)",
     .doc = "Edits what Envoy is told of an HTTP gateway that has a configuration of the plugin, and adds filters.",
     .example = "return {\n"
                "  api = 1, name = \"example\",\n"
                "  shape_listener = function(conf, listener, ctx)\n"
                "    ctx.http.server_name = \"shop\"\n"
                "  end,\n"
                "}",
     .spec = TEST "local gateway = [[\n"
                  "apiVersion: gateway.solo.io/v1\n"
                  "kind: Gateway\n"
                  "metadata: {name: proxy, namespace: gloo-system}\n"
                  "spec:\n"
                  "  bindAddress: \"::\"\n"
                  "  bindPort: 8080\n"
                  "  httpGateway: {options: {extensions: {configs: {example: {}}}}}\n"
                  "---\n"
                  "]]\n" SHOP(ROUTE) "t.it(\"names the server\", function()\n"
                                     "  t.expect_xds(gateway .. shop, \"lds\", {filter_chains = {{filters = {{typed_config = {server_name = \"shop\"}}}}}})\n"
                                     "end)"},
    {.hook = SLD_HOOK_SHAPE_ROUTE,
     .params = "conf, route, ctx",
     .type = "fun(conf: table, route: envoy.config.route.v3.Route, ctx: plugin.Context)",
     .doc = "Edits what Envoy is told of a route that has a configuration of the plugin, or whose virtual host has. It runs again only where the "
            "route, its configuration, the plugin or what it looked at changed.",
     .example = "local s = require \"solder.schema\"\n\n"
                "return {\n"
                "  api = 1, name = \"example\",\n"
                "  schema = s.record{header = s.header_name{default = \"x-team\"}, team = s.string{required = true}},\n"
                "  shape_route = function(conf, route)\n"
                "    table.insert(route.response_headers_to_add, {header = {key = conf.header, value = conf.team}})\n"
                "  end,\n"
                "}",
     .spec = TEST SHOP(ROUTE "      options: {extensions: {configs: {example: {team: red}}}}\n")
         "t.it(\"says whose the route is\", function()\n"
         "  t.expect_xds(shop, \"rds\", {virtual_hosts = {{routes = {{response_headers_to_add = {{header = {key = \"x-team\", value = \"red\"}}}}}}}})\n"
         "end)"},
    {.hook = SLD_HOOK_SHAPE_UPSTREAM,
     .params = "conf, cluster, ctx",
     .type = "fun(conf: table, cluster: envoy.config.cluster.v3.Cluster, ctx: plugin.Context)",
     .doc = "Edits what Envoy is told of the upstreams that its Plugin document names (`upstreams`, `upstreamSelector`), with `config` of that.",
     .example = "local s = require \"solder.schema\"\n\n"
                "return {\n"
                "  api = 1, name = \"example\",\n"
                "  schema = s.record{timeout = s.duration{default = \"2s\"}},\n"
                "  shape_upstream = function(conf, cluster)\n"
                "    cluster.connect_timeout = conf.timeout .. \"s\"\n"
                "  end,\n"
                "}",
     .spec = TEST "local documents = [[\n"
                  "apiVersion: solder.dev/v1\n"
                  "kind: Plugin\n"
                  "metadata: {name: example, namespace: gloo-system}\n"
                  "spec: {upstreamSelector: {labels: {team: red}}, config: {timeout: 7s}}\n"
                  "---\n"
                  "apiVersion: gloo.solo.io/v1\n"
                  "kind: Upstream\n"
                  "metadata: {name: one, namespace: gloo-system, labels: {team: red}}\n"
                  "spec: {static: {hosts: [{addr: 10.0.0.1, port: 80}]}}\n"
                  "---\n"
                  "apiVersion: gateway.solo.io/v1\n"
                  "kind: VirtualService\n"
                  "metadata: {name: shop, namespace: gloo-system}\n"
                  "spec:\n"
                  "  virtualHost:\n"
                  "    domains: [\"*\"]\n"
                  "    routes:\n"
                  "    - matchers: [{prefix: /}]\n"
                  "      routeAction: {single: {upstream: {name: one, namespace: gloo-system}}}\n"
                  "]]\n"
                  "t.it(\"is patient\", function()\n"
                  "  t.expect_xds(documents, \"cds\", \"one_gloo-system\", {connect_timeout = \"7s\"})\n"
                  "end)"},
    {.hook = SLD_HOOK_SHAPE_VIRTUAL_HOST,
     .params = "conf, host, ctx",
     .type = "fun(conf: table, host: envoy.config.route.v3.VirtualHost, ctx: plugin.Context)",
     .doc = "Edits what Envoy is told of a virtual host that has a configuration of the plugin, its routes apart.",
     .example = "return {\n"
                "  api = 1, name = \"example\",\n"
                "  shape_virtual_host = function(conf, host)\n"
                "    table.insert(host.response_headers_to_remove, \"server\")\n"
                "  end,\n"
                "}",
     .spec = TEST SHOP(ROUTE "    options: {extensions: {configs: {example: {}}}}\n")
         "t.it(\"hides the server\", function()\n"
         "  t.expect_xds(shop, \"rds\", {virtual_hosts = {{response_headers_to_remove = {\"server\"}}}})\n"
         "end)"},
    {.hook = SLD_HOOK_TRANSFORM_REQUEST,
     .params = "conf, req",
     .type = "fun(conf: table, req: plugin.TransformRequest): boolean?",
     .doc = "Changes a request on its way, or answers it by req:respond{}. It is configured as authorize is, and runs in Solder's worker behind "
            "all of those; or in Envoy with `runs = \"envoy\"`, where its code is that of `edge.lua`, or of `plugin.lua`. Who fails is 503, "
            "or the end of a request whose headers are on their way, but with `onError: open`.",
     .example = "return {\n"
                "  api = 1, name = \"example\",\n"
                "  transform_request = function(conf, req)\n"
                "    if req.path == \"/ping\" then\n"
                "      return req:respond{status = 200, body = \"pong\\n\"}\n"
                "    end\n"
                "    req:set_path(\"/v2\" .. req.path)\n"
                "  end,\n"
                "}",
     .spec = TEST "t.it(\"answers itself, or asks the second version\", function()\n"
                  "  t.equal(t.exchange{path = \"/ping\"}.body, \"pong\\n\")\n"
                  "  t.equal(t.exchange{path = \"/a?b=1\"}.forwarded.path, \"/v2/a?b=1\")\n"
                  "end)"},
    {.hook = SLD_HOOK_TRANSFORM_RESPONSE,
     .params = "conf, res",
     .type = "fun(conf: table, res: plugin.Response): boolean?",
     .doc = "Changes a response on its way, or takes its place by res:respond{}. As transform_request; plugins come in the opposite order. In "
            "Solder it is told of the request when the plugin's text has the word.",
     .example = "return {\n"
                "  api = 1, name = \"example\",\n"
                "  response_body = {mode = \"buffered\", max = \"64KiB\"},\n"
                "  transform_response = function(conf, res)\n"
                "    if res.status == 404 then\n"
                "      res:set_body(\"nothing at \" .. res.request.path .. \"\\n\")\n"
                "    end\n"
                "  end,\n"
                "}",
     .spec = TEST "t.it(\"says what is not there\", function()\n"
                  "  t.equal(t.exchange{path = \"/a\", response = {status = 404, body = \"?\"}}.body, \"nothing at /a\\n\")\n"
                  "  t.equal(t.exchange{path = \"/a\", response = {status = 200, body = \"here\"}}.body, \"here\")\n"
                  "end)"},
};
const size_t pl_hook_doc_count = SLD_ARRAY_LEN(pl_hook_docs);

// ---- What they are given ----

static const struct pl_value body_fields[] = {
    {"mode", "\"buffered\"|\"streamed\"", "as a whole, or in pieces: of 64 KiB at most, and in Envoy of responses alone"},
    {"max?", "string", "bytes of a whole one, of which more is answered with 413, such as \"64KiB\", which is the default; 1MiB at most where it is changed"},
};
static const struct pl_value deny_fields[] = {
    {"status?", "integer", "400 to 599, or that of a redirect; 403"},
    {"headers?", "table<string, string|string[]>", ""},
    {"body?", "string", ""},
};
static const struct pl_value peer_fields[] = {
    {"subject?", "string", "of the certificate"},
    {"uri_sans", "string[]", "what the certificate says in URIs"},
    {"dns_sans", "string[]", "and in names"},
};
#define REQUEST_FIELDS \
    {"method", "string", ""}, \
        {"path", "string", "without the query"}, \
        {"host", "string", ""}, \
        {"scheme?", "string", "\"http\" or \"https\""}, \
        {"id?", "string", "x-request-id"}, \
        {"headers", "table<string, string>", "by names in lower case; several values joined with \",\"; pairs walks them in order"}, \
        {"query", "plugin.Query", "its parameters"}, \
        {"source?", "string", "the client's address, without its port"}, \
        {"sni?", "string", "the name that TLS was asked for"}, \
        {"peer?", "plugin.Peer", "the client's certificate; nil where there is none"}, \
        {"route?", "string", "its name"}, \
        {"body?", "string", "with request_body; nil without"}
static const struct pl_value request_fields[] = {REQUEST_FIELDS};
static const struct pl_value transform_fields[] = {
    REQUEST_FIELDS,
    {"trailers?", "table<string, string>", "what came behind the body; the headers are sent before they are asked for"},
};
static const struct pl_value origin_fields[] = {
    {"method", "string", ""},  {"path", "string", "without the query"},        {"host", "string", ""},
    {"scheme", "string", ""}, {"id?", "string", "x-request-id"}, {"headers", "table<string, string>", "as the upstream got them"},
};
static const struct pl_value response_fields[] = {
    {"status", "integer", ""},
    {"headers", "table<string, string>", "as those of a request"},
    {"body?", "string", "with response_body; nil without"},
    {"trailers", "table<string, string>", "what came behind the body, which is sent before they are asked for"},
    {"request", "plugin.Origin", "what it answers"},
};
static const struct pl_value entry_fields[] = {
    {"time", "number", "when it began, in Unix seconds"},
    {"method?", "string", ""},
    {"path?", "string", "as it came, with the query"},
    {"sent_path?", "string", "as the upstream got it"},
    {"host?", "string", ""},
    {"scheme?", "string", ""},
    {"protocol?", "string", "such as \"HTTP/1.1\""},
    {"id?", "string", "x-request-id"},
    {"status?", "integer", ""},
    {"details?", "string", "Envoy's words of who answered, and why"},
    {"flags", "string[]", "what else happened, such as no_healthy_upstream"},
    {"duration?", "number", "seconds, in all"},
    {"request_duration?", "number", "seconds until the request was there"},
    {"first_byte?", "number", "seconds until the answer began"},
    {"upstream_first_byte?", "number", "seconds until the upstream's answer began"},
    {"upstream_last_byte?", "number", "seconds until it was there"},
    {"request_bytes", "integer", "of the body"},
    {"response_bytes", "integer", ""},
    {"request_header_bytes", "integer", ""},
    {"response_header_bytes", "integer", ""},
    {"upstream?", "{cluster: string?, address: string?, attempts: integer}", ""},
    {"route?", "string", "its name"},
    {"source?", "string", "the client's address, without its port"},
    {"sni?", "string", "the name that TLS was asked for"},
    {"user_agent?", "string", ""},
    {"referer?", "string", ""},
    {"forwarded_for?", "string", ""},
    {"request_headers", "table<string, string>", "those that log_headers names"},
    {"response_headers", "table<string, string>", "those that log_headers names"},
    {"metadata", "table<string, table>", "dynamic metadata, by namespace"},
};
static const struct pl_value discovery_fields[] = {
    {"consul", "table", "solder.consul"},
    {"http", "table", "d.http{...} is solder.http's request, d.http.stream{...} an answer that is read as it comes"},
    {"vault", "table", "solder.vault"},
    {"dns", "fun(name: string, options?: table): table?, string?", "solder.dns's lookup"},
    {"file", "table", "solder.file: read and watch, of files that its document grants"},
    {"sleep", "fun(time: string|number)", "solder.time's sleep"},
    {"every", "fun(time: string|number, fn: fun())", "solder.time's every"},
};
static const struct pl_value publication_fields[] = {
    {"upstreams?", "table<string, plugin.Found|false>", "by their names; false takes one away, with increment"},
    {"endpoints?", "table<string, (string|table)[]>", "new endpoints of upstreams that are published already"},
    {"increment?", "boolean", "what is not named stays; else this is the whole set"},
};
static const struct pl_value found_fields[] = {
    {"endpoints?", "(string|table)[]", "\"address:port\", or {address =, port =, weight =, sni =, metadata =}"},
    {"labels?", "table<string, string>", "of the Upstream"},
    {"spec?", "table", "more of the Upstream, as its document has it"},
};
static const struct pl_value context_fields[] = {
    {"namespace", "string", "of the object that is shaped"},
    {"source?", "table", "that object itself, read-only"},
};
static const struct pl_value listener_context_fields[] = {
    {"namespace", "string", "of the gateway"},
    {"source?", "table", "the Gateway itself, read-only"},
    {"http?", "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "what Envoy is told of HTTP there"},
};
static const struct pl_value filter_fields[] = {
    {"name", "string", "of the filter"},
    {"stage", "string", "where it is in the chain: fault, cors, waf, authn, authz, rate_limit, accepted, out_auth, route"},
    {"place?", "\"before\"|\"during\"|\"after\"", "where in the stage; during"},
    {"config", "table", "with its \"@type\""},
    {"disabled?", "boolean", "it is there for routes that enable it"},
};
static const struct pl_value plugin_fields[] = {
    {"api", "1", "of the table's form"},
    {"name", "string", "that of the folder or file"},
    {"version?", "string", "for people"},
    {"summary?", "string", "one line for people"},
    {"schema?", "table", "of configurations: solder.schema"},
    {"needs?", "string[]", "what it gets beyond its configuration, if its document grants it: consul, dns, files, http, kv, objects, secrets, vault"},
    {"runs?", "\"solder\"|\"envoy\"", "where hooks of requests run"},
    {"log_headers?", "{request: string[]?, response: string[]?}", "headers that entries of log are to have"},
    {"request_body?", "plugin.Body", "hooks of requests see the request's body"},
    {"response_body?", "plugin.Body", "they see the response's"},
};

static const struct pl_class classes[] = {
    {.name = "plugin.Body", .doc = "How a body is shown.", PL_FIELDS(body_fields)},
    {.name = "plugin.Denial", .doc = "An answer in place of the upstream's.", PL_FIELDS(deny_fields)},
    {.name = "plugin.Peer", .doc = "The client's certificate, as far as Envoy tells.", PL_FIELDS(peer_fields)},
    {.name = "plugin.Query", .doc = "Parameters of a query: query.name is the first of that name."},
    {.name = "plugin.Request", .doc = "A request. Its fields are read-only; what is edited is seen by plugins behind this one.", PL_FIELDS(request_fields)},
    {.name = "plugin.TransformRequest", .doc = "A request in transform_request: what plugin.Request has, but deny, and this.", PL_FIELDS(transform_fields)},
    {.name = "plugin.Origin", .doc = "The request of a response.", PL_FIELDS(origin_fields)},
    {.name = "plugin.Response", .doc = "A response.", PL_FIELDS(response_fields)},
    {.name = "plugin.Entry", .doc = "What is logged of a request. It is the call's own, so it may be changed.", PL_FIELDS(entry_fields)},
    {.name = "plugin.Found", .doc = "An upstream that is published.", PL_FIELDS(found_fields)},
    {.name = "plugin.Publication", .doc = "What is published.", PL_FIELDS(publication_fields)},
    {.name = "plugin.Discovery", .doc = "What a task that discovers may do.", PL_FIELDS(discovery_fields)},
    {.name = "plugin.Adder", .doc = "What extra adds with."},
    {.name = "plugin.Context", .doc = "Where something is shaped.", PL_FIELDS(context_fields)},
    {.name = "plugin.Filter", .doc = "A filter to be added.", PL_FIELDS(filter_fields)},
    {.name = "plugin.ListenerContext", .doc = "Where a listener is shaped.", PL_FIELDS(listener_context_fields)},
};

#define OF(object, method, words, ...) {.of = "plugin." object, .name = method, .doc = words, .params = {__VA_ARGS__}}
#define NAME {"name", "string", ""}
#define VALUE {"value", "string", ""}
#define EDITS(object) \
    OF(object, "set_header", "What the upstream gets as this header.", NAME, VALUE), \
        OF(object, "add_header", "One value more of it.", NAME, VALUE), OF(object, "remove_header", "None of it.", NAME), \
        OF(object, "set_query", "A parameter of the query.", NAME, VALUE), OF(object, "remove_query", "None of it.", NAME), \
        OF(object, "set_response_header", "What the client gets as this header.", NAME, VALUE), \
        OF(object, "add_response_header", "One value more of it.", NAME, VALUE), \
        OF(object, "set_metadata", "Dynamic metadata, for access logs and filters.", {"key", "string", ""}, {"value", "any", ""})
#define GET(object) \
    {.of = "plugin." object, \
     .name = "get", \
     .doc = "Another object, read-only, or nil. The plugin needs \"objects\". What it looked at is remembered: a change of it shapes anew.", \
     .params = {{"kind", "string", ""}, NAME, {"namespace?", "string", "that of what is shaped"}}, \
     .returns = {{"object?", "table", ""}}}

static const struct pl_binding bindings[] = {
    {.of = "plugin.Query", .name = "all", .doc = "All values of a parameter.", .params = {NAME}, .returns = {{"values", "string[]", ""}}},
    EDITS("Request"),
    {.of = "plugin.Request",
     .name = "deny",
     .doc = "Answers the request; it counts at once, whatever follows.",
     .params = {{"answer", "plugin.Denial", ""}},
     .returns = {{"denied", "boolean", "false"}}},
    EDITS("TransformRequest"),
    OF("TransformRequest", "set_method", "Another method.", {"method", "string", ""}),
    OF("TransformRequest", "set_path", "Another path; the query stays. It chooses no other route.", {"path", "string", "begins with /"}),
    OF("TransformRequest", "set_host", "Another host.", {"host", "string", ""}),
    OF("TransformRequest", "set_body", "Another body.", {"text", "string", ""}),
    OF("TransformRequest", "set_trailer", "A trailer, where the request has some.", NAME, VALUE),
    {.of = "plugin.TransformRequest",
     .name = "respond",
     .doc = "Answers the request, with any status.",
     .params = {{"answer", "plugin.Denial", ""}},
     .returns = {{"answered", "boolean", "false"}}},
    {.of = "plugin.TransformRequest",
     .name = "chunks",
     .doc = "The pieces of a streamed body, in a for; not in Envoy.",
     .returns = {{"next", "fun(): string?", ""}}},
    OF("TransformRequest", "write", "A piece of the body, in place of what was read by chunks; not in Envoy.", {"text", "string", ""}),
    OF("Response", "set_metadata", "Dynamic metadata, for access logs and filters; not in Envoy.", {"key", "string", ""}, {"value", "any", ""}),
    OF("Response", "set_status", "Another status.", {"status", "integer", "200 to 599"}),
    OF("Response", "set_header", "What the client gets as this header.", NAME, VALUE), OF("Response", "add_header", "One value more of it.", NAME, VALUE),
    OF("Response", "remove_header", "None of it.", NAME), OF("Response", "set_body", "Another body.", {"text", "string", ""}),
    OF("Response", "set_trailer", "A trailer, where the response has some.", NAME, VALUE),
    {.of = "plugin.Response", .name = "chunks", .doc = "The pieces of a streamed body, in a for.", .returns = {{"next", "fun(): string?", ""}}},
    OF("Response", "write", "A piece of the body, in place of what was read by chunks.", {"text", "string", ""}),
    {.of = "plugin.Response",
     .name = "respond",
     .doc = "Another response instead.",
     .params = {{"answer", "plugin.Denial", ""}},
     .returns = {{"answered", "boolean", "false"}}},
    {.of = "plugin.Discovery",
     .name = "publish",
     .doc = "These are all upstreams there are, or with increment what changed of them. It is checked as a whole before any of it counts.",
     .params = {{"set", "plugin.Publication", ""}}},
    {.of = "plugin.Adder",
     .name = "cluster",
     .doc = "A cluster, to be edited.",
     .params = {NAME},
     .returns = {{"cluster", "envoy.config.cluster.v3.Cluster", ""}}},
    {.of = "plugin.Adder",
     .name = "secret",
     .doc = "A secret, to be edited.",
     .params = {NAME},
     .returns = {{"secret", "envoy.extensions.transport_sockets.tls.v3.Secret", ""}}},
    GET("Context"),
    GET("ListenerContext"),
    OF("ListenerContext", "add_filter", "A filter of HTTP, at its place in the chain.", {"filter", "plugin.Filter", ""}),
};

const struct pl_module pl_handles = {
    .name = "solder.plugin",
    .doc = "What a plugin is, and what its hooks are given.",
    PL_BINDINGS(bindings),
    PL_CLASSES(classes),
    .values = plugin_fields,
    .value_count = SLD_ARRAY_LEN(plugin_fields),
};

// ---- Ceilings ----

const struct pl_ceiling pl_ceilings[] = {
    {"memoryMib", "memory of a state, by its allocator", PL_MEBIBYTES, offsetof(struct sld_plugin_limits, memory_bytes)},
    {"loadSteps", "steps of loading; a step is one of Lua's instructions, or what costs as much", PL_STEPS_64, offsetof(struct sld_plugin_limits, load_steps)},
    {"callSteps", "steps of one call; of calls that wait, of each run between two waits", PL_STEPS_64, offsetof(struct sld_plugin_limits, call_steps)},
    {"loadTime", "time of loading", PL_MILLISECONDS, offsetof(struct sld_plugin_limits, load_ms)},
    {"callTime", "time of one call, or run: a net below the steps, which end at the same place everywhere", PL_MILLISECONDS,
     offsetof(struct sld_plugin_limits, call_ms)},
    {"stringKib", "a string that a function of the library makes", PL_KIBIBYTES, offsetof(struct sld_plugin_limits, string_bytes)},
    {"patternTextKib", "a text that is searched by a pattern", PL_KIBIBYTES, offsetof(struct sld_plugin_limits, subject_bytes)},
    {"coroutines", "coroutines made in one call", PL_NUMBER, offsetof(struct sld_plugin_limits, coroutines)},
    {"logLines", "lines printed in one call; more are dropped", PL_NUMBER, offsetof(struct sld_plugin_limits, log_lines)},
    {"waitingCalls", "calls that wait at a time, of an event loop; the next is refused", PL_NUMBER, offsetof(struct sld_plugin_limits, waiting)},
    {"outboundCalls", "what one request asks others for", PL_NUMBER, offsetof(struct sld_plugin_limits, outbound)},
    {"outboundCallsAMinute", "what a task asks others for in a minute", PL_NUMBER, offsetof(struct sld_plugin_limits, outbound_a_minute)},
    {"requestTime", "a request from start to end, waiting included", PL_MILLISECONDS, offsetof(struct sld_plugin_limits, request_ms)},
    {"publishTime", "how long a server that starts waits for what a task publishes first", PL_MILLISECONDS, offsetof(struct sld_plugin_limits, publish_ms)},
};
const size_t pl_ceiling_count = SLD_ARRAY_LEN(pl_ceilings);
