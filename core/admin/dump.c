// /v1/xds: the resources of a view as they are served. Which ones is looked up on io; decoding and
// printing them, which may take long, is done on the pool.
#include "admin/inside.h"

struct entry {
    struct sld_xds_resource *res; // own reference
    char acked[17];
};

// In the job's arena.
struct dump {
    struct job *job;
    struct sld_str view, node, name, after;
    enum sld_xds_type type;
    bool body;
    uint64_t limit;
    size_t total;          // resources of the view, all types
    struct entry *entries; // what the page may show
    size_t count;
    bool more;             // there are others behind them
};

// ---- On io: what to show ----

static const char *const long_names[SLD_XDS_TYPE_COUNT] = {
    [SLD_XDS_SECRET] = "secrets",     [SLD_XDS_CLUSTER] = "clusters", [SLD_XDS_ENDPOINT] = "endpoints",
    [SLD_XDS_LISTENER] = "listeners", [SLD_XDS_ROUTE] = "routes",
};

static bool read_type(struct sld_str word, enum sld_xds_type *out)
{
    for (int t = 0; t < SLD_XDS_TYPE_COUNT; t++) {
        if (!sld_str_ieq(word, sld_str_c(sld_xds_type_name((enum sld_xds_type)t))) &&
            !sld_str_ieq(word, sld_str_c(long_names[t])))
            continue;
        *out = (enum sld_xds_type)t;
        return true;
    }
    return false;
}

static void find_node(const struct sld_xds_client_info *c, void *arg)
{
    struct dump *d = arg;
    if (d->node.p || !sld_str_eq(c->node_id, d->view))
        return;
    d->node = sld_arena_str(&d->job->arena, c->node_id);
    d->view = sld_arena_str(&d->job->arena, c->view);
}

static void collect(const struct sld_xds_resource *r, struct sld_str acked, void *arg)
{
    struct dump *d = arg;
    d->total++;
    if (r->type != d->type || (d->name.p && !sld_str_eq(r->name, d->name)) ||
        (d->after.p && sld_str_cmp(r->name, d->after) <= 0))
        return;
    if (d->count >= d->limit) {
        d->more = true;
        return;
    }
    // The count is the only thing that changes in a shared resource.
    struct entry e = {.res = sld_obj_ref((struct sld_xds_resource *)(uintptr_t)r)};
    SLD_PRE(acked.n < sizeof(e.acked));
    memcpy(e.acked, acked.p, acked.n);
    SLD_PUSH(&d->job->arena, d->entries, d->count, e);
}

// False: the job's answer is a problem.
static bool prepare(struct dump *d)
{
    const struct call *c = &d->job->call;
    struct answer *out = &d->job->answer;
    if (!read_type(c->args[1], &d->type)) {
        answer_problem(out, PROBLEM_BAD_PARAMETER, "use cds, eds, lds, rds or sds",
                       "%.*s is no type of resources", SLD_FMT(sld_str_sub(c->args[1], 0, 256)));
        return false;
    }
    if (!call_bool(c, "body", &d->body, out) || !call_u64(c, "limit", 1, LIMIT_MAX, &d->limit, out))
        return false;
    d->view = c->args[0];
    d->name = call_param(c, "name");
    d->after = call_param(c, "continue");
    sld_xds_clients(d->job->admin->opt.xds, find_node, d);
    sld_xds_resources(d->job->admin->opt.xds, d->view, collect, d);
    if (!d->total && !d->node.p) {
        answer_problem(out, PROBLEM_NO_RESOURCE,
                       "/v1/views lists the views, /v1/envoys the node ids of connected Envoys",
                       "%.*s is neither a view that is served nor the id of a connected node",
                       SLD_FMT(sld_str_sub(d->view, 0, 256)));
        return false;
    }
    if (d->name.p && !d->count) {
        answer_problem(out, PROBLEM_NO_RESOURCE, "leave name= out for the list",
                       "the view %.*s has no %s of that name",
                       SLD_FMT(sld_str_sub(d->view, 0, 256)), sld_xds_type_name(d->type));
        return false;
    }
    return true;
}

// ---- On the pool: printing ----

static void put_body(struct sld_json *j, const struct sld_xds_resource *r)
{
    struct sld_buf text;
    // What prints a resource of translate prints one of xds: they share types and bytes.
    const struct sld_out o = {
        .type = (enum sld_out_type)r->type, .name = r->name, .bytes = r->bytes, .recipe = r->recipe, .secret = r->secret};
    sld_buf_init(&text, BODY_MAX_BYTES);
    sld_out_print(&text, &o, SLD_TEXT_JSON_COMPACT);
    sld_json_key(j, "body");
    sld_json_raw(j, sld_str_trim(sld_buf_str(&text)));
    if (text.full)
        j->out->full = true;
    sld_buf_fini(&text);
}

static void put_entry(struct sld_json *j, const struct entry *e, bool body)
{
    char version[17];
    sld_hash_text(e->res->obj.hash, version);
    sld_json_begin(j, '{');
    put_str(j, "name", e->res->name);
    put_c(j, "version", version);
    put_str(j, "acked", e->acked[0] ? sld_str_c(e->acked) : SLD_STR_NONE);
    put_int(j, "bytes", sld_xds_resource_size(e->res));
    put_bool(j, "secret", e->res->secret);
    if (body)
        put_body(j, e->res);
    sld_json_end(j, '}');
}

static void print(void *user)
{
    struct dump *d = user;
    struct answer *out = &d->job->answer;
    struct sld_json j;
    size_t i = 0;
    answer_json(out, &j);
    put_str(&j, "view", d->view);
    put_str(&j, "node", d->node);
    put_c(&j, "type", sld_xds_type_name(d->type));
    put_str(&j, "typeUrl", sld_xds_type_url(d->type));
    sld_json_key(&j, "resources");
    sld_json_begin(&j, '[');
    for (; i < d->count && (i == 0 || out->body.n <= PAGE_BYTES); i++)
        put_entry(&j, &d->entries[i], d->body);
    sld_json_end(&j, ']');
    if (i < d->count || d->more)
        put_str(&j, "continue", d->entries[i - 1].res->name);
    answer_json_end(out, &j);
}

static void printed(void *user)
{
    struct dump *d = user;
    for (size_t i = 0; i < d->count; i++)
        SLD_UNREF(d->entries[i].res);
    job_finish(d->job);
}

void v1_xds(struct job *j)
{
    struct dump *d = SLD_ARENA_NEW(&j->arena, struct dump);
    d->job = j;
    d->body = true;
    d->limit = DUMP_LIMIT_DEFAULT;
    if (!prepare(d))
        printed(d); // a problem, at once
    else
        sld_loop_work(j->admin->opt.io, print, printed, d);
}
