// Documents in Consul's key-value store, for the command line.
//
// All of them are read by one request when somebody wants to see all; what is written afterwards is
// checked by Consul itself, by the index that the key had (check-and-set).
#include "source/store.h"

#include <stdlib.h>

#include "settings.pb-c.h"
#include "source/consul/client.h"
#include "source/consul/consul.h"
#include "source/consul/item.h"

enum { VALUE_MAX_BYTES = 512 * 1024 }; // what Consul takes

// A value that was read.
struct entry {
    struct sld_ident id;
    struct sld_str text;
    uint64_t index;
    char key[]; // as sld_store_key
};

struct kv_store {
    struct sld_store base;
    struct sld_arena arena; // wiped: values of Settings may be tokens
    const struct Gloo__Settings *settings;
    struct sld_str address, agent, root;
    bool read;              // everything that was there is in the entries
    struct sld_set entries; // by key
};

static struct sld_str entry_key(const void *item)
{
    return sld_str_c(((const struct entry *)item)->key);
}

static enum sld_rc store_open(struct sld_str address, const struct Gloo__Settings *settings,
                              struct sld_store **out, struct sld_err *err)
{
    struct kv_store *s = SLD_NEW(struct kv_store);
    struct sld_consul_place place;
    enum sld_rc rc = sld_consul_place_parse(&s->arena, address, &place, err);
    if (rc) {
        sld_arena_fini(&s->arena);
        sld_xfree(s);
        return rc;
    }
    s->base.ops = &sld_consul_store_ops;
    // The client asks for them with each call; the store's owner keeps them as long.
    s->settings = settings;
    s->address = sld_arena_str(&s->arena, address);
    s->agent = place.agent.p ? sld_arena_str(&s->arena, place.agent) : SLD_STR_NONE;
    s->root = sld_arena_str(&s->arena, place.root);
    s->entries.key = entry_key;
    *out = &s->base;
    return SLD_OK;
}

static void forget(struct kv_store *s)
{
    size_t at = 0;
    for (struct entry *e; (e = sld_set_next(&s->entries, &at));)
        sld_xfree(e);
    sld_set_fini(&s->entries);
}

static void store_close(struct sld_store *base)
{
    struct kv_store *s = (struct kv_store *)base;
    if (!s)
        return;
    forget(s);
    sld_arena_fini_secret(&s->arena);
    sld_xfree(s);
}

// ---- Requests ----

static enum sld_rc ask(struct kv_store *s, struct sld_arena *a, const struct sld_consul_query *q,
                       struct sld_consul_answer *out, struct sld_err *err)
{
    enum sld_rc rc = sld_consul_fetch(a, s->agent, s->settings, q, out, err);
    if (rc == SLD_IO && !out->status && !s->agent.p)
        return sld_err_wrap(err,
                            "%.*s names no agent, so it is that of consul.httpAddress in the "
                            "Settings, of CONSUL_HTTP_ADDR, or 127.0.0.1:8500",
                            SLD_FMT(s->address));
    return rc ? sld_err_wrap(err, "%.*s", SLD_FMT(s->address)) : SLD_OK;
}

static enum sld_rc no_consul(const struct kv_store *s, struct sld_err *err)
{
    return sld_err_set(err, SLD_IO,
                       "%.*s: the answer is not what Consul says: it was cut, or that is no Consul agent",
                       SLD_FMT(s->address));
}

static struct sld_str path_of(const struct kv_store *s, struct sld_arena *a, struct sld_str key)
{
    return SLD_ARENA_JOIN(a, SLD_STR("/v1/kv/"), s->root, SLD_STR("/"), key);
}

// ---- Reading ----

// Whether KEY is below the root; cuts that off.
static bool cut_root(const struct kv_store *s, struct sld_str *key)
{
    if (key->n <= s->root.n || !sld_str_starts(*key, s->root) || key->p[s->root.n] != '/')
        return false;
    *key = sld_str_sub(*key, s->root.n + 1, key->n);
    return true;
}

// Calls FN for each value below PATH; FOUND: there was one.
static enum sld_rc read_list(struct kv_store *s, struct sld_str path, bool recurse,
                             void (*fn)(void *arg, const struct consul_item *i), void *arg,
                             bool *found, struct sld_err *err)
{
    struct sld_arena a = {0};
    const struct sld_consul_param param = {SLD_STR("recurse"), SLD_STR_NONE};
    const struct sld_consul_query q = {.path = path,
                                       .params = &param,
                                       .param_count = recurse,
                                       .consistency = SLD_CONSUL_CONSISTENT};
    struct sld_consul_answer answer;
    enum sld_rc rc = ask(s, &a, &q, &answer, err);
    *found = false;
    if (!rc && answer.status == 200) {
        struct sld_scan sc;
        struct consul_item i;
        bool ours = true;
        sld_scan_init(&sc, answer.body, &a);
        sld_scan_array(&sc);
        while (ours && sld_scan_item(&sc) && consul_item_read(&sc, &a, &i)) {
            ours = cut_root(s, &i.key);
            if (ours)
                fn(arg, &i);
            *found = true;
        }
        if (!ours || !sld_scan_end(&sc) || !*found)
            rc = no_consul(s, err);
    }
    sld_arena_fini_secret(&a);
    return rc;
}

static void add_entry(void *arg, const struct consul_item *i)
{
    struct kv_store *s = arg;
    struct sld_ident id;
    enum sld_code code;
    if (sld_store_key_parse(i->key, &id, &code, NULL))
        return;
    struct entry *old = sld_set_get(&s->entries, i->key);
    if (old) {
        sld_set_remove(&s->entries, old);
        sld_xfree(old);
    }
    struct entry *e = sld_xcalloc(1, sizeof(*e) + i->key.n + 1);
    memcpy(e->key, i->key.p, i->key.n);
    (void)!sld_store_key_parse(sld_str_c(e->key), &e->id, &code, NULL);
    e->text = sld_arena_str(&s->arena, i->value);
    e->index = i->index;
    sld_set_add(&s->entries, e);
}

static enum sld_rc read_all(struct kv_store *s, struct sld_err *err)
{
    bool found;
    if (s->read)
        return SLD_OK;
    struct sld_str path = path_of(s, &s->arena, SLD_STR(""));
    forget(s);
    enum sld_rc rc = read_list(s, path, true, add_entry, s, &found, err);
    s->read = !rc;
    return rc;
}

// The entry of ID as it is now, or NULL.
static enum sld_rc read_one(struct kv_store *s, struct sld_ident id, const struct entry **out,
                            struct sld_err *err)
{
    struct sld_str key = sld_store_key(&s->arena, id);
    bool found;
    struct entry *old = sld_set_get(&s->entries, key);
    if (old) {
        sld_set_remove(&s->entries, old);
        sld_xfree(old);
    }
    enum sld_rc rc = read_list(s, path_of(s, &s->arena, key), false, add_entry, s, &found, err);
    *out = rc ? NULL : sld_set_get(&s->entries, key);
    return rc;
}

// The same, as it was read before, if it was. What is not among all is asked for all the same: a
// list leaves out what the token may not read.
static enum sld_rc find(struct kv_store *s, struct sld_ident id, const struct entry **out,
                        struct sld_err *err)
{
    *out = sld_set_get(&s->entries, sld_store_key(&s->arena, id));
    return *out ? SLD_OK : read_one(s, id, out, err);
}

static void fill(const struct kv_store *s, struct sld_arena *a, const struct entry *e,
                 struct sld_store_doc *out)
{
    struct sld_str key = sld_arena_str(a, sld_str_c(e->key));
    *out = (struct sld_store_doc){
        .text = sld_arena_str(a, e->text),
        .version = sld_arena_fmt(a, "%llu", (unsigned long long)e->index),
        .path = key,
        .place = SLD_ARENA_JOIN(a, s->root, SLD_STR("/"), key),
    };
    enum sld_code code;
    (void)!sld_store_key_parse(key, &out->id, &code, NULL);
}

// ---- What is there ----

static int by_ident(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;
    int d = strcmp(sld_kind_info(x->id.kind)->plural, sld_kind_info(y->id.kind)->plural);
    d = d ? d : sld_str_cmp(x->id.ns, y->id.ns);
    return d ? d : sld_str_cmp(x->id.name, y->id.name);
}

static enum sld_rc store_each(struct sld_store *base, enum sld_kind kind, struct sld_str ns,
                              void (*fn)(const struct sld_store_doc *doc, void *arg), void *arg,
                              struct sld_err *err)
{
    struct kv_store *s = (struct kv_store *)base;
    enum sld_rc rc = read_all(s, err);
    if (rc)
        return rc;
    const struct entry **list = sld_xcalloc(sld_set_count(&s->entries) + 1, sizeof(*list));
    size_t n = 0, at = 0;
    for (const struct entry *e; (e = sld_set_next(&s->entries, &at));) {
        if ((kind == SLD_KIND_COUNT || e->id.kind == kind) && (!ns.p || sld_str_eq(ns, e->id.ns)))
            list[n++] = e;
    }
    if (n)
        qsort(list, n, sizeof(*list), by_ident);
    for (size_t i = 0; i < n; i++) {
        struct sld_arena a = {0};
        struct sld_store_doc doc;
        fill(s, &a, list[i], &doc);
        fn(&doc, arg);
        sld_arena_fini_secret(&a);
    }
    sld_xfree(list);
    return SLD_OK;
}

static void tell_unit(void *arg, const struct consul_item *i)
{
    const struct sld_source_events *ev = arg;
    if (!sld_consul_place_has(i->key))
        return;
    struct sld_blob *b = sld_blob_create_secret(i->value);
    ev->on_put(ev->user, i->key, b, true);
    SLD_UNREF(b);
}

static enum sld_rc store_read(struct sld_store *base, const struct sld_source_events *ev,
                              struct sld_err *err)
{
    struct kv_store *s = (struct kv_store *)base;
    struct sld_source_events events = *ev;
    bool found = false;
    enum sld_rc rc = read_list(s, path_of(s, &s->arena, SLD_STR("")), true, tell_unit, &events,
                               &found, err);
    if (!rc && !found)
        return sld_err_set(err, SLD_NOT_FOUND,
                           "%.*s: there is no key below \"%.*s/\", or none that the token may read",
                           SLD_FMT(s->address), SLD_FMT(s->root));
    if (!rc)
        ev->on_synced(ev->user);
    return rc;
}

static enum sld_rc not_there(const struct kv_store *s, struct sld_ident id, struct sld_err *err)
{
    return sld_err_set(err, SLD_NOT_FOUND, "there is no %s %.*s in namespace %.*s of %.*s",
                       sld_kind_info(id.kind)->name, SLD_FMT(id.name), SLD_FMT(id.ns),
                       SLD_FMT(s->address));
}

static enum sld_rc store_get(struct sld_store *base, struct sld_arena *a, struct sld_ident id,
                             struct sld_store_doc *out, struct sld_err *err)
{
    struct kv_store *s = (struct kv_store *)base;
    const struct entry *e;
    enum sld_rc rc = find(s, id, &e, err);
    if (rc || !e)
        return rc ? rc : not_there(s, id, err);
    fill(s, a, e, out);
    return SLD_OK;
}

// ---- Changing ----

// What Consul is to compare with: the index in EXPECT, 0 for a key that must not be there. False:
// nothing, or (BAD) it is no index.
static bool take_expect(const struct sld_store_expect *expect, struct sld_str *cas, bool *bad)
{
    uint64_t index;
    *cas = expect->version.n ? expect->version : SLD_STR("0");
    *bad = expect->version.n && !sld_str_u64(expect->version, &index);
    return expect->version.p && !*bad;
}

// Consul did not change ID because it is not at the version of EXPECT.
static enum sld_rc conflict(struct kv_store *s, struct sld_ident id,
                            const struct sld_store_expect *expect, struct sld_err *err)
{
    const struct entry *e = NULL;
    struct sld_str place = SLD_ARENA_JOIN(&s->arena, s->root, SLD_STR("/"), sld_store_key(&s->arena, id));
    enum sld_rc rc = read_one(s, id, &e, err);
    if (rc)
        return rc;
    if (!e)
        return sld_err_set(err, SLD_CONFLICT,
                           "%.*s is not there any more, where version %.*s was expected: somebody "
                           "removed it",
                           SLD_FMT(place), SLD_FMT(expect->version.n ? expect->version : SLD_STR("none")));
    return sld_err_set(err, SLD_CONFLICT,
                       "%.*s has version %llu, not %.*s: somebody changed it meanwhile",
                       SLD_FMT(place), (unsigned long long)e->index,
                       SLD_FMT(expect->version.n ? expect->version : SLD_STR("none")));
}

// Puts or deletes the key of ID.
static enum sld_rc change(struct kv_store *s, struct sld_ident id, struct sld_str method,
                          struct sld_str body, const struct sld_store_expect *expect,
                          struct sld_err *err)
{
    struct sld_arena a = {0};
    struct sld_consul_param cas = {SLD_STR("cas"), SLD_STR_NONE};
    struct sld_consul_answer answer;
    bool bad, checked = take_expect(expect, &cas.value, &bad);
    if (bad)
        return conflict(s, id, expect, err);
    const struct sld_consul_query q = {
        .method = method,
        .path = path_of(s, &a, sld_store_key(&a, id)),
        .params = &cas,
        .param_count = checked,
        .body = body,
    };
    enum sld_rc rc = ask(s, &a, &q, &answer, err);
    struct sld_str said = rc ? SLD_STR("") : sld_str_trim(answer.body);
    if (!rc && checked && sld_str_eq(said, SLD_STR("false")))
        rc = conflict(s, id, expect, err);
    else if (!rc && !sld_str_eq(said, SLD_STR("true")))
        rc = no_consul(s, err);
    struct entry *old = sld_set_get(&s->entries, sld_store_key(&a, id));
    if (!rc && old) {
        sld_set_remove(&s->entries, old);
        sld_xfree(old);
    }
    sld_arena_fini(&a);
    return rc;
}

static enum sld_rc store_put(struct sld_store *base, struct sld_arena *a, struct sld_ident id,
                             struct sld_str text, const struct sld_store_expect *expect,
                             struct sld_store_doc *out, struct sld_err *err)
{
    struct kv_store *s = (struct kv_store *)base;
    if (id.kind == SLD_KIND_SECRET)
        return sld_err_set(err, SLD_INVALID,
                           "Secrets are not kept in Consul, where everybody could read them; put them "
                           "into Vault or a directory that --secrets names");
    if (text.n > VALUE_MAX_BYTES)
        return sld_err_set(err, SLD_LIMIT, "it has %zu bytes; Consul takes %d in a value", text.n,
                           VALUE_MAX_BYTES);
    enum sld_rc rc = change(s, id, SLD_STR("PUT"), text, expect, err);
    return rc || !out ? rc : store_get(base, a, id, out, err);
}

static enum sld_rc store_remove(struct sld_store *base, struct sld_ident id,
                                const struct sld_store_expect *expect, struct sld_err *err)
{
    struct kv_store *s = (struct kv_store *)base;
    const struct entry *e;
    // Consul deletes what is not there, too.
    enum sld_rc rc = find(s, id, &e, err);
    if (!rc && !e)
        return not_there(s, id, err);
    return rc ? rc : change(s, id, SLD_STR("DELETE"), SLD_STR_NONE, expect, err);
}

const struct sld_store_ops sld_consul_store_ops = {
    .flat = true,
    .open = store_open,
    .each = store_each,
    .read = store_read,
    .get = store_get,
    .put = store_put,
    .remove = store_remove,
    .close = store_close,
};
