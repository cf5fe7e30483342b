// Documents of kind Plugin: where the files are, whether they load within what is granted, what configurations get.
#include "plugin/declare.h"

#include "secret.pb-c.h"

enum { SUSPEND_AFTER = 5, LAST_BYTES_MAX = 64 << 20, MESSAGE_DEPTH = 64 };

// ---- What hooks gave last ----

static void last_free(struct sld_obj *o)
{
    struct pl_last *l = (struct pl_last *)o;
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&l->rows, &at));) {
        struct sld_blob *b = s->value;
        SLD_UNREF(b);
    }
    sld_map_fini(&l->rows);
    sld_xfree(l);
}

struct pl_last *pl_last_create(void)
{
    struct pl_last *l = SLD_NEW(struct pl_last);
    sld_obj_init(&l->obj, last_free, (struct sld_hash){0});
    return l;
}

// A row is the hash of what the hook was given, then what it gave.
void pl_last_set(struct pl_last *l, struct sld_str row, struct sld_hash input, const ProtobufCMessage *m)
{
    struct sld_arena a = {0};
    struct sld_str head = sld_str_n((const char *)&input, sizeof(input));
    struct sld_str bytes = SLD_ARENA_JOIN(&a, head, sld_msg_encode(&a, m));
    struct sld_blob *was = sld_map_get(&l->rows, row);
    l->bytes -= was ? was->data.n : 0;
    if (l->bytes + bytes.n <= LAST_BYTES_MAX) {
        sld_map_set(&l->rows, row, sld_blob_create_secret(bytes)); // what it made may hold secrets
        l->bytes += bytes.n;
    } else if (was) {
        sld_map_remove(&l->rows, row); // an older one is not what it gave last
    }
    SLD_UNREF(was);
    sld_arena_fini(&a);
}

void pl_last_drop(struct pl_last *l, struct sld_str row)
{
    struct sld_blob *was = sld_map_remove(&l->rows, row);
    l->bytes -= was ? was->data.n : 0;
    SLD_UNREF(was);
}

ProtobufCMessage *pl_last_get(const struct pl_last *l, struct sld_str row, struct sld_hash input, struct sld_arena *a,
                              const ProtobufCMessageDescriptor *desc)
{
    const struct sld_blob *b = sld_map_get(&l->rows, row);
    struct sld_err err = {0};
    if (!b || memcmp(b->data.p, &input, sizeof(input)) != 0)
        return NULL;
    return sld_msg_decode(a, desc, sld_str_sub(b->data, sizeof(input), b->data.n - sizeof(input)), MESSAGE_DEPTH, &err);
}

// ---- Files ----

static struct sld_str name_of(const Gloo__Plugin *p)
{
    return sld_str_c(p->metadata->name);
}

static const Gloo__Artifact *artifact_of(const struct sld_translate *t, const Gloo__Plugin *p)
{
    struct sld_arena a = {0};
    const char *ns = p->artifact->namespace_[0] ? p->artifact->namespace_ : p->metadata->namespace_;
    struct sld_ident id = {SLD_KIND_ARTIFACT, sld_str_c(ns), sld_str_c(p->artifact->name)};
    const struct sld_object *o = sld_translate_usable(t, sld_ident_key(&a, id));
    sld_arena_fini(&a);
    return o ? sld_object_msg(o) : NULL;
}

static struct sld_plugin_bundle *of_artifact(const Gloo__Plugin *p, const Gloo__Artifact *from)
{
    struct sld_arena a = {0};
    struct sld_plugin_file *files = NULL;
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i < from->n_data; i++) {
        struct sld_plugin_file f = {sld_str_c(from->data[i]->key), sld_str_c(from->data[i]->value)};
        bytes += f.text.n;
        if (sld_str_ends(f.name, SLD_STR(".lua")) && n < SLD_PLUGIN_FILES_MAX && bytes <= SLD_PLUGIN_BYTES_MAX)
            SLD_PUSH(&a, files, n, f);
    }
    struct sld_str origin = sld_arena_fmt(&a, "Artifact %s.%s", from->metadata->namespace_, from->metadata->name);
    struct sld_plugin_bundle *b = sld_plugin_bundle_create_files(name_of(p), origin, files, n);
    sld_arena_fini(&a);
    return b;
}

// The files of P, a reference; or NULL with words and the field to blame.
static struct sld_plugin_bundle *bundle_of(const struct sld_translate *t, const Gloo__Plugin *p, const char **path,
                                           struct sld_err *err)
{
    *path = "";
    switch (p->source_case) {
    case GLOO__PLUGIN__SOURCE_INLINE:
        *path = "inline";
        return sld_plugin_bundle_create(name_of(p), SLD_STR("inline"), sld_str_c(p->inline_));
    case GLOO__PLUGIN__SOURCE_ARTIFACT: {
        *path = "artifact";
        const Gloo__Artifact *from = artifact_of(t, p);
        if (from)
            return of_artifact(p, from);
        sld_err_set(err, SLD_NOT_FOUND, "there is no Artifact %s in namespace %s", p->artifact->name,
                    p->artifact->namespace_[0] ? p->artifact->namespace_ : p->metadata->namespace_);
        return NULL;
    }
    default: {
        const struct sld_plugin_slot *slot = sld_translate_plugin(t, name_of(p));
        if (slot && slot->plugin)
            return sld_obj_ref(slot->plugin->host->bundle);
        sld_err_set(err, SLD_NOT_FOUND, slot ? "the plugin %s of the folder --plugins does not load: %.*s"
                                             : "there is no plugin %s in the folder --plugins%.*s; or set inline, or artifact",
                    p->metadata->name, SLD_FMT(slot ? slot->error : SLD_STR("")));
        return NULL;
    }
    }
}

struct sld_hash pl_declared_hash(const struct sld_translate *t, const Gloo__Plugin *p)
{
    const char *path;
    struct sld_err err = {0};
    struct sld_plugin_bundle *b = bundle_of(t, p, &path, &err);
    struct sld_hash h = b ? b->obj.hash : sld_hash_bytes(sld_str_c(err.msg));
    SLD_UNREF(b);
    return sld_hash_mix(h, sld_msg_hash(&p->base));
}

// ---- Loading ----

static void set_waiting_limits(struct sld_plugin_limits *l, const Gloo__Plugin__Limits *from)
{
    if (from->waiting_calls)
        l->waiting = from->waiting_calls;
    if (from->outbound_calls)
        l->outbound = from->outbound_calls;
    if (from->outbound_calls_a_minute)
        l->outbound_a_minute = from->outbound_calls_a_minute;
    if (from->request_time)
        l->request_ms = (unsigned)sld_duration_ms(from->request_time);
    if (from->publish_time)
        l->publish_ms = (unsigned)sld_duration_ms(from->publish_time);
}

static void set_limits(struct sld_plugin_limits *l, const Gloo__Plugin__Limits *from)
{
    *l = sld_plugin_limits_default;
    if (!from)
        return;
    if (from->memory_mib)
        l->memory_bytes = (size_t)from->memory_mib << 20;
    if (from->load_steps)
        l->load_steps = from->load_steps;
    if (from->call_steps)
        l->call_steps = from->call_steps;
    if (from->load_time)
        l->load_ms = (unsigned)sld_duration_ms(from->load_time);
    if (from->call_time)
        l->call_ms = (unsigned)sld_duration_ms(from->call_time);
    if (from->string_kib)
        l->string_bytes = (size_t)from->string_kib << 10;
    if (from->pattern_text_kib)
        l->subject_bytes = (size_t)from->pattern_text_kib << 10;
    if (from->coroutines)
        l->coroutines = from->coroutines;
    if (from->log_lines)
        l->log_lines = from->log_lines;
    set_waiting_limits(l, from);
}

static enum sld_rc check_needs(const Gloo__Plugin *p, const struct sld_plugin *plugin, struct sld_err *err)
{
    for (int n = 0; n < SLD_NEED_COUNT; n++) {
        const char *name = sld_need_name((enum sld_need)n);
        bool granted = !(plugin->info.needs & (1U << n));
        for (size_t i = 0; i < p->n_needs; i++)
            granted |= strcmp(p->needs[i], name) == 0;
        if (!granted)
            return sld_err_set(err, SLD_DENIED, "the plugin needs %s (%s), which is not granted: add it to needs, or do without the plugin",
                               name, sld_need_about((enum sld_need)n));
    }
    return SLD_OK;
}

enum sld_rc pl_declared_load(const struct sld_translate *t, const Gloo__Plugin *p, struct sld_plugin **out, const char **path,
                             struct sld_err *err)
{
    struct sld_plugin_limits limits;
    struct sld_plugin *plugin = NULL;
    struct sld_plugin_bundle *b = bundle_of(t, p, path, err);
    if (!b)
        return err->rc;
    set_limits(&limits, p->limits);
    enum sld_rc rc = sld_plugin_load(b, &limits, &plugin, err);
    SLD_UNREF(b);
    if (!rc) {
        rc = check_needs(p, plugin, err);
        *path = rc ? "needs" : *path;
    }
    if (rc)
        SLD_UNREF(plugin);
    else
        *out = plugin;
    return rc;
}

// ---- Checking ----

// What configurations have in common may leave out what each of them must say.
static void check_config(struct sld_report *r, struct sld_plugin *plugin, const Gloo__Plugin *p)
{
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    struct sld_report own = {.arena = r->arena};
    bool whole = p->n_upstreams || p->upstream_selector || (plugin->info.hooks & (1U << SLD_HOOK_EXTRA));
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    v.struct_value = p->config;
    if (!p->config && !whole)
        return;
    if (whole)
        sld_plugin_check(plugin, &own, p->config ? &v : NULL);
    else
        sld_conf_check(&own, &plugin->conf, &v);
    for (size_t i = 0; i < own.count; i++) {
        const struct sld_finding *f = &own.items[i];
        if (whole || f->code != SLD_FIELD_REQUIRED)
            sld_report_add(r, f->severity, f->code, SLD_ARENA_JOIN(r->arena, SLD_STR("config"), f->path.n ? SLD_STR(".") : SLD_STR(""), f->path),
                           "%.*s", SLD_FMT(f->message));
    }
}

void pl_declared_check(const struct sld_translate *t, struct sld_report *r, const Gloo__Plugin *p)
{
    struct sld_plugin *plugin = NULL;
    struct sld_err err = {0};
    const char *path = "";
    if (r->errors)
        return; // it is not loaded with ceilings that it may not have
    if (!sld_plugin_name_ok(name_of(p))) {
        sld_report_add(r, SLD_ERROR, SLD_PLUGIN_BROKEN, SLD_STR("metadata.name"),
                       "a plugin's name is made of a-z, 0-9 and -, a letter first, at most 63");
        return;
    }
    if (pl_declared_load(t, p, &plugin, &path, &err)) {
        sld_report_add(r, SLD_ERROR, SLD_PLUGIN_BROKEN, sld_str_c(path), "%s", err.msg);
        return;
    }
    check_config(r, plugin, p);
    bool shapes = plugin->info.hooks & (1U << SLD_HOOK_SHAPE_UPSTREAM);
    if ((p->n_upstreams || p->upstream_selector) && !shapes)
        sld_report_add(r, SLD_WARNING, SLD_OPTION_UNUSED, sld_str_c(p->n_upstreams ? "upstreams" : "upstreamSelector"),
                       "the plugin has no hook shape_upstream, so this has no effect");
    SLD_UNREF(plugin);
}

// ---- Slots and configurations ----

const Google__Protobuf__Value *pl_declared_conf(struct sld_arena *a, const Gloo__Plugin *p, const Google__Protobuf__Value *value)
{
    const Google__Protobuf__Struct *own = value->struct_value;
    if (!p || !p->config)
        return value;
    Google__Protobuf__Value *out = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
    Google__Protobuf__Struct *all = SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
    out->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    out->struct_value = all;
    bool set = value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE && own;
    for (size_t i = 0; set && i < own->n_fields; i++)
        SLD_PUSH(a, all->fields, all->n_fields, own->fields[i]);
    for (size_t i = 0; i < p->config->n_fields; i++) {
        bool said = false;
        for (size_t k = 0; set && k < own->n_fields; k++)
            said |= strcmp(own->fields[k]->key, p->config->fields[i]->key) == 0;
        if (!said)
            SLD_PUSH(a, all->fields, all->n_fields, p->config->fields[i]);
    }
    return out;
}

struct sld_plugin_slot *pl_declared_slot(struct sld_plugin *plugin, struct sld_str error, const Gloo__Plugin *p,
                                         unsigned generation)
{
    struct sld_plugin_slot *s = sld_plugin_slot_create(plugin, error);
    if (p) {
        s->declared = sld_msg_copy(&s->arena, &p->base);
        s->obj.hash = sld_hash_mix(s->obj.hash, sld_msg_hash(&p->base));
    }
    s->obj.hash = sld_hash_mix(s->obj.hash, (struct sld_hash){generation, 1});
    return s;
}

unsigned pl_suspend_after(const struct sld_plugin_slot *s)
{
    return s->declared && s->declared->suspend_after ? s->declared->suspend_after : SUSPEND_AFTER;
}

bool pl_exhausted(const struct sld_plugin_slot *s)
{
    unsigned after = pl_suspend_after(s);
    return s->plugin->breaches >= after || s->plugin->round_breaches >= after;
}
