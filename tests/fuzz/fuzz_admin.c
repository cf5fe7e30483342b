// Any bytes as HTTP requests to the admin API, behind the parser of net and before a real, small
// model: every request gets one answer, of an expected status, that is what its type says, and no
// secret is ever in it.
#include "admin/inside.h"
#include "net/http_internal.h"

#include "envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VIEW SLD_STR("gloo-system~gateway-proxy")

static const char documents[] =
    "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: web, namespace: gloo-system}\n"
    "spec: {static: {hosts: [{addr: 127.0.0.1, port: 8081}]}}\n"
    "---\n"
    "apiVersion: gateway.solo.io/v1\nkind: VirtualService\n"
    "metadata: {name: web, namespace: gloo-system}\n"
    "spec:\n"
    "  virtualHost:\n"
    "    domains: ['*']\n"
    "    routes:\n"
    "    - matchers: [{prefix: /}]\n"
    "      routeAction: {single: {upstream: {name: gone, namespace: gloo-system}}}\n"
    "---\n"
    "apiVersion: gateway.solo.io/v1\nkind: RouteTable\nmetadata: {name: bad, namespace: x}\n"
    "spec: {rutes: []}\n"
    "---\n"
    "apiVersion: gloo.solo.io/v1\nkind: Secret\nmetadata: {name: key, namespace: gloo-system}\n"
    "spec: {header: {headers: {x-key: hunter2hunter2}}}\n";

static struct {
    struct sld_loop *loop;
    struct sld_xds *xds;
    struct sld_admin *admin;
    struct sld_admin_model model;
    struct sld_intake *intake;
    struct sld_http_server server;
    size_t answers;
} world;

// ---- The world ----

static void on_object(void *user, struct sld_ident id, struct sld_raw *raw)
{
    (void)user;
    sld_translate_set(world.model.translate, id, raw);
}

static void on_problems(void *user)
{
    (void)user;
}

static void make_model(void)
{
    static const struct sld_feature *const none[1];
    const struct sld_translate_options to = {.features = none, .now_s = 1700000000, .notes = true};
    const struct sld_intake_events ev = {.on_object = on_object, .on_problems = on_problems};
    struct sld_intake_options io;
    struct sld_translate_result r = {0};
    sld_intake_options_default(&io);
    world.intake = sld_intake_create(&io, &ev);
    world.model = (struct sld_admin_model){
        .translate = sld_translate_create(&to),
        .intake = world.intake,
        .memo = sld_admin_memo_create(),
        .index = 7,
        .write_ns = SLD_STR("gloo-system"),
    };
    sld_intake_source(world.intake, SLD_STR("/etc/solder"), 0);
    const struct sld_str texts[] = {{documents, sizeof(documents) - 1}, SLD_STR("kind: [\n")};
    for (size_t i = 0; i < SLD_ARRAY_LEN(texts); i++) {
        struct sld_blob *b = sld_blob_create(texts[i]);
        sld_intake_put(world.intake, SLD_STR("/etc/solder"), i ? SLD_STR("b.yaml") : SLD_STR("a.yaml"), b,
                       true, 1);
        SLD_UNREF(b);
    }
    sld_translate_run(world.model.translate, &r);
    sld_translate_result_fini(&r);
}

static void make_xds(void)
{
    struct sld_xds_options o;
    struct sld_arena a = {0};
    sld_xds_options_default(&o);
    o.fallback_view = VIEW;
    world.xds = sld_xds_create(&o, NULL);
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    Env__TransportSocketsTls__Secret *s =
        SLD_MSG(&a, Env__TransportSocketsTls__Secret, env__transport_sockets_tls__secret);
    s->name = sld_arena_cstr(&a, SLD_STR("cert"));
    struct sld_xds_resource *r = sld_xds_resource_create(SLD_XDS_SECRET, SLD_STR("cert"));
    r->bytes = sld_msg_encode(&r->arena, &s->base);
    r->secret = true;
    sld_xds_resource_seal(r);
    sld_xds_batch_add(b, SLD_XDS_SECRET, VIEW, r->name, r);
    SLD_UNREF(r);
    sld_xds_apply(world.xds, b, 1);
    sld_arena_fini(&a);
}

static void query(struct sld_admin_query *q, void *user)
{
    (void)user;
    sld_admin_answer(&world.model, q);
    sld_admin_query_done(q);
}

static size_t checks(struct sld_admin_check *out, size_t max, void *user)
{
    (void)user;
    SLD_PRE(max > 0);
    out[0] = (struct sld_admin_check){.name = "all", .ok = true, .live = true};
    return 1;
}

static size_t sources(struct sld_admin_source *out, size_t max, void *user)
{
    (void)user;
    SLD_PRE(max > 0);
    out[0] = (struct sld_admin_source){.name = SLD_STR("/etc/solder"), .type = "directory", .up = true};
    return 1;
}

static void facts(void (*fn)(struct sld_str source, const struct sld_source_fact *f, void *arg),
                  void *arg, void *user)
{
    (void)user;
    struct sld_source_fact f = {.kind = SLD_STR("certificate"), .name = SLD_STR("x/tls")};
    fn(SLD_STR("/etc/solder"), &f, arg);
}

static size_t metrics(struct sld_source_metric *out, size_t max, void *user)
{
    (void)user;
    if (max > 0)
        out[0] = (struct sld_source_metric){"store_reads_total", "counter", "Reads.", 7};
    return max > 0;
}

static enum sld_rc record(struct sld_admin_query *q, struct sld_str plugin, unsigned count, unsigned ms, void *user)
{
    (void)q, (void)plugin, (void)count, (void)ms, (void)user;
    return SLD_NOT_FOUND;
}

static void edge(struct sld_admin_edge *out, void *user)
{
    (void)user;
    *out = (struct sld_admin_edge){0};
}

static void make_world(void)
{
    world.loop = sld_loop_create("fuzz");
    make_model();
    make_xds();
    const struct sld_admin_options o = {
        .io = world.loop,
        .xds = world.xds,
        .host = {.query = query, .checks = checks, .sources = sources, .edge = edge, .facts = facts, .record = record,
                 .metrics = metrics},
        .version = SLD_STR("1.2.3"),
    };
    world.admin = sld_admin_create(&o);
    world.admin->index = world.model.index;
    world.server.options = (struct sld_http_server_options){
        .max_header_bytes = 32 * 1024, .max_body_bytes = 64 * 1024, .max_connections = 8};
    sld_list_init(&world.server.requests);
}

// ---- Requests ----

static void check_answer(const struct answer *out)
{
    struct sld_str body = sld_buf_str(&out->body);
    struct sld_arena a = {0};
    struct sld_document *docs;
    enum sld_code code;
    size_t n = 0;
    SLD_INV(out->status == 200 || (out->status >= 400 && out->status <= 405));
    SLD_INV(sld_str_utf8(body, NULL));
    // A problem may repeat what was asked.
    SLD_INV(out->status != 200 || sld_str_find(body, SLD_STR("hunter2")) < 0);
    if (strstr(out->type, "json") || strstr(out->type, "yaml")) {
        SLD_INV(sld_doc_read(&a, body, &sld_doc_limits_default, &docs, &n, &code, NULL) == SLD_OK);
        SLD_INV(n == 1);
    }
    sld_arena_fini(&a);
}

static void on_answer(struct job *j, const struct answer *out)
{
    (void)j;
    world.answers++;
    check_answer(out);
}

static void ask(const struct sld_http_request *rq)
{
    const struct asked q = {sld_http_method(rq), sld_http_path(rq), sld_http_query_text(rq)};
    struct listener l = {.loopback = true, .host = SLD_STR("127.0.0.1")};
    (void)access_host(&l, sld_http_header(rq, SLD_STR("host")));
    size_t before = world.answers;
    struct job *j = job_create(world.admin, on_answer, &world);
    job_run(j, &q);
    while (world.answers == before && world.admin->away_count)
        uv_run(sld_loop_uv(world.loop), UV_RUN_ONCE);
    if (world.answers == before) { // it waits for news
        SLD_INV(world.admin->parked_count == 1);
        world.admin->index++;
        world.model.index++;
        jobs_wake(world.admin);
    }
    SLD_INV(world.answers == before + 1);
    SLD_INV(world.admin->parked_count == 0 && world.admin->away_count == 0);
    world.admin->index = world.model.index = 7;
    uv_run(sld_loop_uv(world.loop), UV_RUN_NOWAIT); // closed timers
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sld_http_conn c;
    struct sld_str in = {(const char *)data, size};
    if (!world.loop)
        make_world();
    // An answer in the middle of a request needs a connection.
    if (sld_str_find(in, SLD_STR("100-")) >= 0)
        return 0;
    memset(&c, 0, sizeof(c));
    c.server = &world.server;
    sld_buf_init(&c.ahead, 1 << 20);
    sld_buf_add(&c.ahead, in);
    sld_http_parser_init(&c);
    for (int i = 0; i < 8 && sld_http_parse(&c); i++) {
        struct sld_http_request *rq = c.rq;
        c.rq = NULL;
        ask(rq);
        sld_http_request_destroy(rq);
    }
    sld_http_request_destroy(c.rq);
    sld_buf_fini(&c.ahead);
    return 0;
}
