// All plugins of a process by name: what the folder has, what a document says of it, and what of both is in force. A
// document wins; what cannot be loaded changes nothing. What breaches its ceilings too often rests for a while.
#include "plugin/declare.h"
#include "plugin/guards.h"
#include "plugin/ship.h"

#include <stdio.h>

enum { RETRY_SECONDS = 30, RETRY_DOUBLINGS = 5 };

struct named {
    struct sld_plugin_slot *folder; // own reference, or NULL
    bool offered;                   // whoever did knows that it is loaded
    struct sld_plugin_slot *slot;   // in force; own reference, or NULL
    struct sld_arena arena;         // of KEY
    struct sld_str key;             // of the document that declares it, or absent
    bool documented;                // found in this look
    bool mentioned;                 // by a document, which may be of no use
    bool again;                     // its document or the folder said something
    struct sld_hash tried;          // what was loaded, or tried, last
    char refused[SLD_ERR_MAX];
    unsigned generation;            // counts what is new though it says the same
    unsigned suspensions;           // in a row
    uint64_t retry_ns;              // of one that is suspended
};

struct sld_plugin_set {
    struct sld_translate *t;
    struct sld_plugins *folder; // NULL: none
    struct sld_map names;       // struct named
    struct sld_map documents;   // keys of Plugins, seen; the value: the set, or TWICE
    struct sld_map artifacts;   // names of Artifacts that were touched
    struct pl_guards *guards;
    uint64_t changes;
    bool dirty;
    struct sld_hash shapers, edges, worker; // of the lists; of what is known of the worker
    struct sld_arena arena; // of ADDRESSES
    struct sld_str *addresses;
    size_t address_count;
    enum sld_worker_reach reach;
};

static char twice; // of a document that is told to be the second of its name

static struct named *named(struct sld_plugin_set *s, struct sld_str name)
{
    struct named *n = sld_map_get(&s->names, name);
    if (!n) {
        n = SLD_NEW(struct named);
        sld_map_set(&s->names, name, n);
    }
    return n;
}

static void named_free(struct named *n)
{
    SLD_UNREF(n->folder);
    SLD_UNREF(n->slot);
    sld_arena_fini(&n->arena);
    sld_xfree(n);
}

// What stands for the guard NAME that is not there.
static struct sld_plugin_slot *gone_slot(struct sld_str name, enum pl_guard kind)
{
    struct sld_plugin_slot *slot = sld_plugin_slot_create(NULL, SLD_STR("it is gone; what names it is closed"));
    slot->gone = true;
    slot->gone_edge = kind == PL_GUARD_EDGE;
    slot->name = sld_arena_str(&slot->arena, name);
    slot->obj.hash = sld_hash_mix(slot->obj.hash, sld_hash_mix(sld_hash_bytes(name), (struct sld_hash){slot->gone_edge, 1}));
    return slot;
}

// ---- The folder ----

static void on_folder(void *user, struct sld_str name, struct sld_plugin_slot *slot)
{
    struct sld_plugin_set *s = user;
    struct named *n = named(s, name);
    SLD_UNREF(n->folder);
    n->folder = sld_obj_ref(slot);
    if (!n->documented)
        n->refused[0] = 0;
    s->dirty = n->again = true;
}

// The new text of one that goes on with its old one.
static void on_folder_problem(void *user, struct sld_str name, struct sld_str words)
{
    struct sld_plugin_set *s = user;
    struct named *n = named(s, name);
    snprintf(n->refused, sizeof(n->refused), "%.*s", SLD_FMT(words));
    SLD_LOG(SLD_LOG_ERROR, "plugin", "plugin_refused", SLD_KS("plugin", name), SLD_KS("error", words),
            SLD_KC("msg", "the plugin could not be loaded; its former version goes on"));
}

struct sld_plugin_set *sld_plugin_set_create(struct sld_translate *t, const char *dir)
{
    struct sld_plugin_set *s = SLD_NEW(struct sld_plugin_set);
    struct sld_plugins_events ev = {.on_plugin = on_folder, .on_problem = on_folder_problem, .user = s};
    s->t = t;
    s->guards = pl_guards_create();
    if (dir)
        s->folder = sld_plugins_create(sld_str_c(dir), &sld_plugin_limits_default, &ev);
    return s;
}

void sld_plugin_set_worker(struct sld_plugin_set *s, const struct sld_str *addresses, size_t n, enum sld_worker_reach reach)
{
    s->reach = reach;
    s->address_count = 0;
    for (size_t i = 0; i < n; i++)
        SLD_PUSH(&s->arena, s->addresses, s->address_count, sld_arena_str(&s->arena, addresses[i]));
}

void sld_plugin_set_keep_guards(struct sld_plugin_set *s, struct sld_str file)
{
    size_t count;
    pl_guards_keep(s->guards, file);
    struct sld_str *names = pl_guards_names(s->guards, &count);
    for (size_t i = 0; i < count; i++) { // until they are loaded
        struct named *n = named(s, names[i]);
        if (!n->slot)
            n->slot = gone_slot(names[i], pl_guards_get(s->guards, names[i]));
        sld_translate_set_plugin(s->t, names[i], n->slot);
    }
    s->dirty |= count > 0;
    sld_xfree(names);
}

uint64_t sld_plugin_set_changes(const struct sld_plugin_set *s)
{
    return s->changes;
}

void sld_plugin_set_destroy(struct sld_plugin_set *s)
{
    if (!s)
        return;
    size_t at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&s->names, &at));)
        named_free(e->value);
    sld_map_fini(&s->names);
    sld_map_fini(&s->documents);
    sld_map_fini(&s->artifacts);
    sld_plugins_destroy(s->folder);
    pl_guards_destroy(s->guards);
    sld_arena_fini(&s->arena);
    sld_xfree(s);
}

enum sld_rc sld_plugin_set_reread(struct sld_plugin_set *s, struct sld_err *err)
{
    return s->folder ? sld_plugins_reread(s->folder, err) : SLD_OK;
}

void sld_plugin_set_offer(struct sld_plugin_set *s, struct sld_str name, struct sld_plugin_slot *slot)
{
    on_folder(s, name, slot);
    named(s, name)->offered = true;
}

void sld_plugin_set_touch(struct sld_plugin_set *s, struct sld_ident id, bool there)
{
    struct sld_arena a = {0};
    if (id.kind == SLD_KIND_PLUGIN) {
        if (there)
            sld_map_set(&s->documents, sld_ident_key(&a, id), s);
        else
            sld_map_remove(&s->documents, sld_ident_key(&a, id));
        named(s, id.name)->again = true;
    } else if (id.kind == SLD_KIND_ARTIFACT)
        sld_map_set(&s->artifacts, id.name, s);
    s->dirty |= id.kind == SLD_KIND_PLUGIN || id.kind == SLD_KIND_ARTIFACT;
    sld_arena_fini(&a);
}

// ---- What is in force ----

static void tell(struct sld_plugin_set *s, struct sld_str name, const struct named *n)
{
    sld_translate_set_plugin(s->t, name, n->slot);
}

static void take(struct sld_plugin_set *s, struct sld_str name, struct named *n, struct sld_plugin_slot *slot)
{
    s->changes++;
    if (slot && slot->plugin)
        pl_guards_note(s->guards, slot->plugin);
    else if (!slot && pl_guards_get(s->guards, name))
        slot = gone_slot(name, pl_guards_get(s->guards, name));
    if (slot && slot->declared && !strcmp(slot->declared->on_error, "keep-last"))
        slot->last = n->slot && n->slot->last ? sld_obj_ref(n->slot->last) : pl_last_create();
    SLD_UNREF(n->slot);
    n->slot = slot;
    tell(s, name, n);
    if (!slot)
        SLD_LOG(SLD_INFO, "plugin", "plugin_gone", SLD_KS("plugin", name));
    else if (slot->gone)
        SLD_LOG(SLD_WARN, "plugin", "guard_gone", SLD_KS("plugin", name),
                SLD_KC("msg", "what names it answers 503 until it is there again, or is not named any more"));
    else if (!slot->plugin)
        SLD_LOG(SLD_LOG_ERROR, "plugin", "plugin_broken", SLD_KS("plugin", name), SLD_KS("msg", slot->error));
    else if (slot->suspended)
        SLD_LOG(SLD_LOG_ERROR, "plugin", "plugin_suspended", SLD_KS("plugin", name), SLD_KS("msg", slot->error));
    else if (!n->offered)
        SLD_LOG(SLD_INFO, "plugin", "plugin_loaded", SLD_KS("plugin", name),
                SLD_KS("version", sld_plugin_info(slot->plugin)->version));
}

static void refuse(struct sld_plugin_set *s, struct sld_str name, struct named *n, const char *words, const Gloo__Plugin *p)
{
    snprintf(n->refused, sizeof(n->refused), "%s", words);
    if (n->slot && n->slot->plugin) {
        tell(s, name, n);
        SLD_LOG(SLD_LOG_ERROR, "plugin", "plugin_refused", SLD_KS("plugin", name), SLD_KC("error", words),
                SLD_KC("msg", "the plugin could not be loaded; its former version goes on"));
        return;
    }
    take(s, name, n, pl_declared_slot(NULL, sld_str_c(words), p, n->generation));
}

// The plugin NAME as its document P has it; P NULL: the document has errors, and never had none.
static void renew_declared(struct sld_plugin_set *s, struct sld_str name, struct named *n, const Gloo__Plugin *p)
{
    struct sld_plugin *plugin = NULL;
    const char *path;
    struct sld_err err = {0};
    struct sld_hash now = p ? pl_declared_hash(s->t, p) : sld_hash_bytes(SLD_STR("errors"));
    if (n->slot && sld_hash_eq(now, n->tried)) {
        if (n->again)
            tell(s, name, n); // in the place of the folder's
        return;
    }
    n->tried = now;
    n->generation++;
    if (!p) {
        refuse(s, name, n, "its document has errors", NULL);
    } else if (pl_declared_load(s->t, p, &plugin, &path, &err)) {
        refuse(s, name, n, err.msg, p);
    } else {
        n->refused[0] = 0;
        n->suspensions = 0;
        take(s, name, n, pl_declared_slot(plugin, SLD_STR(""), p, n->generation));
    }
}

static void renew(struct sld_plugin_set *s, struct sld_str name, struct named *n)
{
    if (n->documented) {
        const struct sld_object *o = sld_translate_usable(s->t, n->key);
        renew_declared(s, name, n, o ? sld_object_msg(o) : NULL);
        return;
    }
    n->key = SLD_STR_NONE;
    struct sld_hash now = n->folder ? n->folder->obj.hash : (struct sld_hash){0};
    if (sld_hash_eq(now, n->tried)) {
        if (n->again && n->mentioned)
            tell(s, name, n);
        return;
    }
    n->tried = now;
    n->refused[0] = 0;
    n->suspensions = 0;
    take(s, name, n, sld_obj_ref(n->folder));
}

// ---- Documents ----

static void find_document(struct sld_plugin_set *s, struct sld_str key, bool usable)
{
    struct sld_ident id;
    bool parsed = sld_ident_parse(key, &id);
    SLD_INV(parsed);
    struct named *n = named(s, id.name);
    n->mentioned = true;
    if ((sld_translate_usable(s->t, key) != NULL) != usable)
        return;
    void *told = n->documented ? (void *)&twice : s;
    if (n->documented && sld_map_get(&s->documents, key) != told)
        SLD_LOG(SLD_WARN, "plugin", "plugin_twice", SLD_KS("document", key), SLD_KS("msg", n->key));
    sld_map_set(&s->documents, key, told);
    if (n->documented || (!usable && n->folder))
        return;
    n->documented = true;
    sld_arena_fini(&n->arena);
    n->key = sld_arena_str(&n->arena, key);
}

// Of several of one name the first that is of use counts; one that never was tells why where there is nothing else.
static void find_documents(struct sld_plugin_set *s)
{
    size_t count, at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&s->names, &at));)
        ((struct named *)e->value)->documented = ((struct named *)e->value)->mentioned = false;
    struct sld_str *keys = sld_map_sorted_keys(&s->documents, &count);
    for (size_t i = 0; i < 2 * count; i++)
        find_document(s, keys[i % count], i < count);
    sld_xfree(keys);
}

// Whether the document of N stands for one of the folder; or might, when it is looked at again.
static bool of_folder(const struct sld_plugin_set *s, const struct named *n)
{
    if (!n->documented)
        return n->mentioned && n->folder;
    const struct sld_object *o = sld_translate_document(s->t, n->key);
    const Gloo__Plugin *p = o ? sld_object_msg(o) : NULL;
    return p && p->source_case == GLOO__PLUGIN__SOURCE__NOT_SET;
}

// What documents refer to is there, or is not any more, before they are looked at again.
static void recheck(struct sld_plugin_set *s)
{
    size_t at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&s->artifacts, &at));)
        sld_translate_recheck(s->t, SLD_KIND_PLUGIN, e->key);
    sld_map_fini(&s->artifacts);
    at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&s->names, &at));) {
        struct named *n = e->value;
        if (n->again && of_folder(s, n)) {
            sld_translate_set_plugin(s->t, e->key, n->folder);
            sld_translate_recheck(s->t, SLD_KIND_PLUGIN, e->key);
        }
    }
}

static bool shapes_upstreams(const struct sld_plugin_slot *slot)
{
    const Gloo__Plugin *p = slot->declared;
    return p && (p->n_upstreams || p->upstream_selector);
}

// The list NAME of plugins that are CHOSEN, whose hash was LAST.
static void list(struct sld_plugin_set *s, struct sld_str name, bool (*chosen)(const struct sld_plugin_slot *slot),
                 struct sld_hash *last)
{
    struct sld_plugin_slot *all = sld_plugin_slot_create(NULL, name);
    size_t count;
    struct sld_str *keys = sld_map_sorted_keys(&s->names, &count);
    for (size_t i = 0; i < count; i++) {
        struct sld_plugin_slot *slot = ((struct named *)sld_map_get(&s->names, keys[i]))->slot;
        if (!slot || !chosen(slot))
            continue;
        SLD_PUSH(&all->arena, all->members, all->member_count, sld_obj_ref(slot));
        all->obj.hash = sld_hash_mix(all->obj.hash, slot->obj.hash);
    }
    sld_xfree(keys);
    if (!sld_hash_eq(*last, all->obj.hash) && (all->member_count || !sld_hash_zero(*last)))
        sld_translate_set_plugin(s->t, name, all);
    *last = all->obj.hash;
    SLD_UNREF(all);
}

static void list_plugins(struct sld_plugin_set *s)
{
    list(s, SLD_PLUGIN_SHAPERS, shapes_upstreams, &s->shapers);
    list(s, SLD_PLUGIN_EDGES, pl_ships, &s->edges);
}

// What is to be done by the worker, and where it is.
static void describe_worker(struct sld_plugin_set *s)
{
    struct sld_plugin_slot *w = sld_plugin_slot_create(NULL, SLD_STR("worker"));
    size_t at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&s->names, &at));) {
        const struct sld_plugin_slot *slot = ((struct named *)e->value)->slot;
        unsigned hooks = slot && slot->plugin ? sld_plugin_worker_hooks(slot->plugin) : 0;
        if ((!slot || !slot->plugin) && pl_guards_get(s->guards, e->key) == PL_GUARD_WORKER)
            hooks = 1U << SLD_HOOK_AUTHORIZE; // Envoys with old routes still ask
        w->worker_hooks |= hooks;
        if (slot && slot->plugin && hooks && sld_plugin_limits(slot->plugin)->request_ms > w->request_ms)
            w->request_ms = sld_plugin_limits(slot->plugin)->request_ms;
    }
    for (size_t i = 0; i < s->address_count; i++) {
        SLD_PUSH(&w->arena, w->addresses, w->address_count, sld_arena_str(&w->arena, s->addresses[i]));
        w->obj.hash = sld_hash_mix(w->obj.hash, sld_hash_bytes(s->addresses[i]));
    }
    w->reach = s->reach;
    w->obj.hash = sld_hash_mix(w->obj.hash, (struct sld_hash){w->reach, 0});
    w->obj.hash = w->worker_hooks ? sld_hash_mix(w->obj.hash, (struct sld_hash){w->worker_hooks, w->request_ms}) : (struct sld_hash){0};
    if (!sld_hash_eq(s->worker, w->obj.hash))
        sld_translate_set_plugin(s->t, SLD_PLUGIN_WORKER, w->worker_hooks ? w : NULL);
    s->worker = w->obj.hash;
    SLD_UNREF(w);
}

void sld_plugin_set_settle(struct sld_plugin_set *s)
{
    size_t count;
    if (!s->dirty)
        return;
    s->dirty = false;
    find_documents(s);
    recheck(s);
    find_documents(s);
    struct sld_str *keys = sld_map_sorted_keys(&s->names, &count);
    for (size_t i = 0; i < count; i++) {
        struct named *n = sld_map_get(&s->names, keys[i]);
        renew(s, keys[i], n);
        n->again = false;
        if (!n->folder && !n->documented && !(n->slot && n->slot->gone)) {
            sld_map_remove(&s->names, keys[i]);
            named_free(n);
        }
    }
    sld_xfree(keys);
    list_plugins(s);
    describe_worker(s);
}

// ---- Suspension ----

static uint64_t rest_ns(const struct named *n)
{
    const Gloo__Plugin *p = n->slot->declared;
    uint64_t ms = p && p->retry_after ? (uint64_t)sld_duration_ms(p->retry_after) : RETRY_SECONDS * 1000;
    return (ms << (n->suspensions < RETRY_DOUBLINGS ? n->suspensions : RETRY_DOUBLINGS)) * 1000000;
}

// WHY, and the last words of it.
static void suspend(struct sld_plugin_set *s, struct sld_str name, struct named *n, uint64_t now_ns, const char *why, const char *last)
{
    struct sld_arena a = {0};
    uint64_t ns = rest_ns(n);
    struct sld_str words =
        sld_arena_fmt(&a, "it is suspended for %llu s after %s: %s", (unsigned long long)(ns / 1000000000), why, last);
    struct sld_plugin_slot *slot =
        pl_declared_slot(sld_obj_ref(n->slot->plugin), words, n->slot->declared, ++n->generation);
    slot->suspended = true;
    n->suspensions++;
    n->retry_ns = now_ns + ns;
    take(s, name, n, slot);
    sld_arena_fini(&a);
}

static void suspend_exhausted(struct sld_plugin_set *s, struct sld_str name, struct named *n, uint64_t now_ns)
{
    char why[80];
    const struct sld_plugin *p = n->slot->plugin;
    snprintf(why, sizeof(why), "%u breaches of its ceilings, the last", p->breaches > p->round_breaches ? p->breaches : p->round_breaches);
    suspend(s, name, n, now_ns, why, p->errors[0].words);
}

// Begins anew with the same text in a new state.
static void retry(struct sld_plugin_set *s, struct sld_str name, struct named *n, uint64_t now_ns)
{
    struct sld_plugin *fresh = NULL;
    const struct pl_host *h = n->slot->plugin->host;
    struct sld_err err = {0};
    n->retry_ns = 0;
    if (sld_plugin_load(h->bundle, &h->limits, &fresh, &err))
        suspend(s, name, n, now_ns, "it could not be loaded anew", err.msg);
    else
        take(s, name, n, pl_declared_slot(fresh, SLD_STR(""), n->slot->declared, ++n->generation));
}

static bool was_called(const struct sld_plugin_stats *st)
{
    uint64_t calls = 0;
    for (int h = 0; h < SLD_HOOK_COUNT; h++)
        calls += h == SLD_HOOK_CHECK ? 0 : st->hooks[h].calls;
    return calls > 0;
}

uint64_t sld_plugin_set_watch(struct sld_plugin_set *s, uint64_t now_ns)
{
    uint64_t next = 0;
    size_t at = 0;
    bool changed = false;
    for (struct sld_map_slot *e; (e = sld_map_next(&s->names, &at));) {
        struct named *n = e->value;
        struct sld_plugin_stats st;
        if (!n->slot || !n->slot->plugin)
            continue;
        sld_plugin_stats(n->slot->plugin, &st);
        bool before = n->slot->suspended;
        unsigned generation = n->generation;
        if (!before && pl_exhausted(n->slot))
            suspend_exhausted(s, e->key, n, now_ns);
        else if (before && n->retry_ns && n->retry_ns <= now_ns)
            retry(s, e->key, n, now_ns);
        else if (!before && !st.breaches && !n->slot->plugin->round_breaches && was_called(&st))
            n->suspensions = 0;
        n->slot->plugin->round_breaches = 0;
        changed |= generation != n->generation;
        if (n->slot->suspended && n->retry_ns && (!next || n->retry_ns < next))
            next = n->retry_ns;
    }
    if (changed)
        list_plugins(s);
    return next;
}

// ---- Looking in ----

void sld_plugin_set_each(const struct sld_plugin_set *s, void (*fn)(void *arg, const struct sld_plugin_state *p), void *arg)
{
    size_t count;
    struct sld_str *keys = sld_map_sorted_keys(&s->names, &count);
    for (size_t i = 0; i < count; i++) {
        const struct named *n = sld_map_get(&s->names, keys[i]);
        struct sld_plugin_state p = {
            .name = keys[i], .document = n->key, .slot = n->slot, .refused = sld_str_c(n->refused), .retry_ns = n->retry_ns};
        if (n->slot)
            fn(arg, &p);
    }
    sld_xfree(keys);
}
