// The KV source: documents in Consul's key-value store, each below its key.
//
//   root/gateway.solo.io/v1/VirtualService/gloo-system/default: a unit, told whenever its value changes
//   root/solder/...: our own
//   root/.../, and what is of no kind: nothing to us
#include <stdio.h>

#include "codec/text.h"
#include "settings.pb-c.h"
#include "source/consul/consul.h"
#include "source/consul/kv_inside.h"

// ---- Keys ----

static struct sld_str key_key(const void *item)
{
    return sld_str_c(((const struct kv_key *)item)->path);
}

struct kv_key *kv_key_find(const struct kv *kv, struct sld_str path)
{
    return sld_set_get(&kv->keys, path);
}

struct sld_str kv_path(const struct kv *kv, struct sld_str key)
{
    if (!sld_str_starts(key, kv->root) || key.n == kv->root.n || memchr(key.p, 0, key.n))
        return SLD_STR_NONE;
    return sld_str_sub(key, kv->root.n, key.n);
}

static struct kv_key *key_add(struct kv_part *p, struct sld_str path)
{
    struct kv *kv = p->kv;
    struct kv_key *k = SLD_NEW(struct kv_key);
    k->path = sld_consul_status_keep(kv->status, path);
    k->unit = sld_consul_place_has(path);
    k->part = p;
    sld_list_push(&p->keys, &k->in_part);
    p->count++;
    kv->units += k->unit;
    if (k->unit && !kv->synced)
        kv_came(kv);
    sld_set_add(&kv->keys, k);
    return k;
}

static void key_free(struct kv *kv, struct kv_key *k)
{
    sld_list_remove(&k->in_part);
    if (k->absence)
        sld_list_remove(&k->absence->link);
    sld_xfree(k->absence);
    sld_consul_status_let(kv->status, sld_str_c(k->path));
    sld_xfree(k);
}

static void value_take(struct kv *kv, struct kv_key *k, struct sld_str value)
{
    if (sld_str_eq(sld_str_c(k->path), KV_SENTINEL))
        kv_trust_sentinel(kv, value, k->index);
    if (!k->unit)
        return;
    bool edited = sld_consul_status_seen(kv->status, sld_str_c(k->path), value, k->index);
    if (k->told && !edited)
        return;
    k->told = true;
    struct sld_blob *b = sld_blob_create_secret(value); // Settings may hold tokens
    kv->ev.on_put(kv->ev.user, sld_str_c(k->path), b, true);
    SLD_UNREF(b);
}

bool kv_key_take(struct kv_part *p, struct sld_str path, const struct consul_item *item)
{
    struct kv *kv = p->kv;
    struct kv_key *k = kv_key_find(kv, path);
    if (!k)
        k = key_add(p, path);
    SLD_INV(k->part == p);
    k->round = kv->round;
    kv_found(k);
    // An agent that lost its state counts anew: the same index may be that of another value.
    struct sld_hash answered = sld_hash_bytes(item->value);
    if (k->index == item->index && sld_hash_eq(k->answered, answered))
        return true;
    struct sld_arena a = {0};
    struct sld_str value = SLD_STR("");
    bool ok = !item->value.n || sld_base64_decode(&a, item->value, &value);
    if (ok) {
        kv->decoded++;
        k->index = item->index;
        kv_part_saw(kv, item->index);
        k->answered = answered;
        value_take(kv, k, value);
    }
    sld_arena_fini_secret(&a);
    return ok;
}

void kv_key_remove(struct kv_key *k)
{
    struct kv *kv = k->part->kv;
    kv_found(k);
    if (k->unit) {
        kv->units--;
        sld_consul_status_unseen(kv->status, sld_str_c(k->path));
        kv->ev.on_gone(kv->ev.user, sld_str_c(k->path));
    }
    k->part->count--;
    sld_set_remove(&kv->keys, k);
    key_free(kv, k);
}

// ---- What is told of the whole ----

void kv_look(struct kv *kv)
{
    const char *why = kv->trust == KV_DOUBT ? kv->doubt
                      : kv->denied[0]       ? kv->denied
                                            : kv_parts_problem(kv);
    char now[KV_PROBLEM_MAX] = "";
    if (why)
        snprintf(now, sizeof(now), "%s", why);
    else if (kv_refills(kv))
        snprintf(now, sizeof(now),
                 "Consul is being filled again: %zu of %zu objects that were there are not back yet and "
                 "stay in force until nothing has come back for %llu s, at most %u s in all. If it is right as "
                 "it is, write the one word trust to %.*s%.*s",
                 kv->missing_units ? kv->missing_units : kv->ev.restored - kv->units,
                 kv->missing_units ? kv->units : kv->ev.restored, (unsigned long long)kv->refill_ms / 1000,
                 kv_refill_most_s(kv), SLD_FMT(kv->root), SLD_FMT(KV_SENTINEL));
    if (strcmp(now, kv->problem) != 0) {
        memcpy(kv->problem, now, sizeof(now));
        kv->ev.on_problem(kv->ev.user, SLD_STR(""), SLD_SOURCE_STALE,
                          now[0] ? sld_str_c(now) : SLD_STR_NONE);
    }
    bool sure = kv->trust != KV_NEW && kv->trust != KV_DOUBT;
    if (kv->synced || !sure || kv->missing_units || kv_refills(kv) || !kv_parts_read(kv))
        return;
    kv->synced = true;
    kv->ev.restored = 0; // it has been told what became of those
    kv->ev.on_synced(kv->ev.user);
    if (!kv->status_begun)
        sld_consul_status_begin(kv->status, sld_str_c(kv->seen.status));
    kv->status_begun = true;
}

// ---- The source ----

static enum sld_consul_consistency consistency_of(const struct Gloo__Settings *s)
{
    const Gloo__ConsulKvOptions *o = s->solder ? s->solder->consul_kv : NULL;
    switch (o ? o->consistency_mode : GLOO__CONSUL_CONSISTENCY_MODES__DefaultMode) {
    case GLOO__CONSUL_CONSISTENCY_MODES__StaleMode:
        return SLD_CONSUL_STALE;
    case GLOO__CONSUL_CONSISTENCY_MODES__ConsistentMode:
        return SLD_CONSUL_CONSISTENT;
    default:
        return SLD_CONSUL_DEFAULT;
    }
}

static void agent_name_keep(struct kv *kv)
{
    sld_xfree(kv->agent_name);
    struct sld_str name = sld_consul_name(kv->agent);
    kv->agent_name = sld_xcalloc(1, name.n + 1);
    memcpy(kv->agent_name, name.p, name.n);
}

static void on_status_problem(void *user, struct sld_str path, enum sld_code code,
                              struct sld_str message)
{
    struct kv *kv = user;
    kv->ev.on_problem(kv->ev.user, path, code, message);
}

static enum sld_rc kv_open(struct sld_loop *io, struct sld_str address,
                           const struct Gloo__Settings *settings,
                           const struct sld_source_events *ev, struct sld_source **out,
                           struct sld_err *err)
{
    struct kv *kv = SLD_NEW(struct kv);
    struct sld_consul_place place;
    enum sld_rc rc = sld_consul_place_parse(&kv->arena, address, &place, err);
    if (!rc)
        rc = sld_consul_get(io, place.agent, settings, &kv->agent, err);
    if (rc) {
        sld_arena_fini(&kv->arena);
        sld_xfree(kv);
        return rc;
    }
    kv->base.ops = &sld_consul_source_ops;
    kv->loop = io;
    kv->ev = *ev;
    kv->root = SLD_ARENA_JOIN(&kv->arena, place.root, SLD_STR("/"));
    kv->consistency = consistency_of(settings);
    kv->keys.key = key_key;
    agent_name_keep(kv);
    kv->status = sld_consul_status_create(io, kv->agent, place.root, settings, on_status_problem, kv);
    kv_trust_init(kv);
    kv_parts_init(kv);
    kv_parts_start(kv);
    *out = &kv->base;
    return SLD_OK;
}

// Where problems with the settings are told: the source is read as before.
#define SETTINGS_PATH SLD_STR("settings")

static void kv_configure(struct sld_source *s, const struct Gloo__Settings *settings)
{
    struct kv *kv = (struct kv *)s;
    struct sld_err err = {0};
    enum sld_rc rc = sld_consul_configure(kv->agent, settings, &err);
    if (rc || kv->settings_bad)
        kv->ev.on_problem(kv->ev.user, SETTINGS_PATH, SLD_SOURCE_STALE,
                          rc ? sld_str_c(err.msg) : SLD_STR_NONE);
    kv->settings_bad = rc != SLD_OK;
    sld_consul_status_configure(kv->status, settings);
    if (rc)
        return;
    bool moved = !sld_str_eq(sld_consul_name(kv->agent), sld_str_c(kv->agent_name));
    enum sld_consul_consistency c = consistency_of(settings);
    if (!moved && c == kv->consistency)
        return;
    kv->consistency = c;
    if (moved) {
        agent_name_keep(kv);
        kv_trust_forget(kv);
    }
    kv_parts_start(kv);
}

static void kv_status(struct sld_source *s, struct sld_str path, struct sld_ident id,
                      struct sld_status *status, struct sld_str reporter_ns)
{
    (void)id; // the key says who it is
    sld_consul_status_set(((struct kv *)s)->status, path, status, reporter_ns);
}

static bool kv_writer(struct sld_source *s, struct sld_source_writer *out)
{
    return sld_consul_status_writer(((struct kv *)s)->status, out);
}

static void kv_counts(const struct sld_source *s, struct sld_source_counts *out)
{
    const struct kv *kv = (const struct kv *)s;
    out->objects = kv->ev.restored > kv->units ? kv->ev.restored : kv->units;
    out->decoded = kv->decoded;
}

static void kv_reread(struct sld_source *s)
{
    struct kv *kv = (struct kv *)s;
    size_t at = 0;
    for (struct kv_key *k; (k = sld_set_next(&kv->keys, &at));) {
        k->index = 0;
        k->told = false;
    }
    kv->synced = false;
    kv_parts_reread(kv);
}

static void kv_close(struct sld_source *s)
{
    struct kv *kv = (struct kv *)s;
    if (!kv)
        return;
    kv_trust_fini(kv);
    kv_parts_fini(kv);
    size_t at = 0;
    for (struct kv_key *k; (k = sld_set_next(&kv->keys, &at));)
        key_free(kv, k);
    sld_set_fini(&kv->keys);
    sld_consul_status_destroy(kv->status);
    sld_consul_release(kv->agent);
    sld_xfree(kv->agent_name);
    sld_arena_fini(&kv->arena);
    sld_xfree(kv);
}

const struct sld_source_ops sld_consul_source_ops = {
    .name = "consul",
    .help = "Consul's key-value store: --config consul://127.0.0.1:8500/gloo",
    .keyed = true,
    .matches = sld_consul_place_is,
    .open = kv_open,
    .configure = kv_configure,
    .status = kv_status,
    .writer = kv_writer,
    .counts = kv_counts,
    .reread = kv_reread,
    .close = kv_close,
    .store = &sld_consul_store_ops,
};
