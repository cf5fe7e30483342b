// The secrets that plugins give, as a secret store: what was told last stays, whatever becomes of the plugin.
#include "plugin/gives.h"

#include <stdio.h>

#include "codec/text.h"

// How long an answer may take before whoever waits for it does without: longer than a call.
enum { ANSWER_MS = 40 * 1000 };

// A secret that is wanted in a namespace.
struct unit {
    struct sld_arena arena;
    struct sld_str key, place;       // "secrets/<ns>/plugin:<plugin>/<ref>"; as problems and documents name it
    struct sld_str plugin, ref;      // slices of it
    struct sld_blob *document;       // own reference; NULL: none was told
    char problem[SLD_ERR_MAX];       // as told; empty: none
    bool asked;                      // its plugin is
    bool answered;
    int64_t expires_s, renews_s;
};

struct gives {
    struct sld_source source; // first
    struct sld_source_events ev;
    void (*want)(void *user, struct sld_str plugin, struct sld_str ref, bool wanted);
    void *user;
    struct sld_map units;   // by key
    struct sld_map plugins; // that have the hook
    bool all;               // PLUGINS is all there are
    bool told_all;          // everything that is wanted was told
    bool news;              // since on_synced
    size_t open;            // units without an answer
    struct sld_timer *late; // runs while there are some
};

static struct gives *gives_of(struct sld_source *s)
{
    return (struct gives *)s;
}

// ---- Telling ----

static void set_problem(struct gives *g, struct unit *u, struct sld_str words)
{
    struct sld_str text = words.p ? sld_str_utf8_cut(words, sizeof(u->problem) - 1) : SLD_STR("");
    if (sld_str_eq(text, sld_str_c(u->problem)))
        return;
    snprintf(u->problem, sizeof(u->problem), "%.*s", SLD_FMT(text));
    g->ev.on_problem(g->ev.user, u->place, SLD_SOURCE_STALE, text.n ? text : SLD_STR_NONE);
}

static void answered(struct gives *g, struct unit *u)
{
    if (!u->answered)
        g->open--;
    u->answered = true;
    g->ev.on_answered(g->ev.user, u->key);
}

// All that is wanted has an answer, and not all of that was told before.
static void look(struct gives *g)
{
    if (!g->told_all || g->open || !g->news)
        return;
    g->news = false;
    g->ev.on_synced(g->ev.user);
}

// Asks U's plugin, or says that there is none to ask.
static void settle(struct gives *g, struct unit *u)
{
    bool there = sld_map_has(&g->plugins, u->plugin);
    if (there && !u->asked) {
        u->asked = true;
        g->want(g->user, u->plugin, u->ref, true);
    } else if (!there && g->all) {
        struct sld_arena a = {0};
        if (u->asked)
            g->want(g->user, u->plugin, u->ref, false);
        u->asked = false;
        set_problem(g, u, sld_arena_fmt(&a, "there is no plugin %.*s that has the hook secret: load one, or refer to another secret",
                                        SLD_FMT(u->plugin)));
        answered(g, u);
        sld_arena_fini(&a);
    }
}

// ---- What is wanted ----

static void unit_free(struct unit *u)
{
    SLD_UNREF(u->document);
    sld_arena_fini(&u->arena);
    sld_xfree(u);
}

static bool shared(const struct gives *g, const struct unit *but)
{
    size_t at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&g->units, &at));) {
        const struct unit *u = e->value;
        if (u != but && sld_str_eq(u->plugin, but->plugin) && sld_str_eq(u->ref, but->ref))
            return true;
    }
    return false;
}

static void drop(struct gives *g, struct unit *u)
{
    set_problem(g, u, SLD_STR_NONE);
    if (u->document)
        g->ev.on_gone(g->ev.user, u->place);
    if (u->asked && !shared(g, u))
        g->want(g->user, u->plugin, u->ref, false);
    if (!u->answered)
        g->open--;
    g->news = true;
    sld_map_remove(&g->units, u->key);
    unit_free(u);
}

// What another unit of the same secret knows.
static const struct unit *twin(const struct gives *g, const struct unit *of)
{
    size_t at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&g->units, &at));) {
        const struct unit *u = e->value;
        if (u != of && u->document && sld_str_eq(u->plugin, of->plugin) && sld_str_eq(u->ref, of->ref))
            return u;
    }
    return NULL;
}

static void take(struct gives *g, struct unit *u, const struct sld_secret_news *n);

static void want_new(struct gives *g, struct sld_str key)
{
    struct sld_ident id;
    struct sld_str plugin, ref;
    if (!sld_ident_parse(key, &id) || id.kind != SLD_KIND_SECRET || sld_plugin_ref_parse(id.name, &plugin, &ref, NULL)) {
        g->ev.on_answered(g->ev.user, key); // none of a plugin
        return;
    }
    struct unit *u = SLD_NEW(struct unit);
    u->key = u->place = sld_arena_str(&u->arena, key);
    u->plugin = sld_arena_str(&u->arena, plugin);
    u->ref = sld_arena_str(&u->arena, ref);
    sld_map_set(&g->units, u->key, u);
    g->open++;
    g->news = true;
    sld_timer_start(g->late, ANSWER_MS);
    settle(g, u);
    const struct unit *t = twin(g, u);
    struct sld_secret_news n = {.plugin = plugin, .ref = ref};
    if (t) { // its plugin was asked for the other, and tells nothing of this one until it is renewed
        n.document = t->document;
        n.expires_s = t->expires_s;
        n.renews_s = t->renews_s;
        take(g, u, &n);
    }
}

static void want(struct sld_source *s, struct sld_str key, bool wanted)
{
    struct gives *g = gives_of(s);
    struct unit *u = key.p ? sld_map_get(&g->units, key) : NULL;
    if (!key.p)
        g->told_all = true;
    else if (wanted && !u)
        want_new(g, key);
    else if (wanted && u->answered)
        g->ev.on_answered(g->ev.user, key);
    else if (!wanted && u)
        drop(g, u);
    look(g);
}

void sld_gives_plans(struct sld_source *s, const struct sld_discover_plans *p, bool all)
{
    struct gives *g = gives_of(s);
    size_t at = 0;
    g->all = all;
    sld_map_fini(&g->plugins);
    for (size_t i = 0; p && i < p->count; i++) {
        if (p->items[i]->hooks & (1U << SLD_HOOK_SECRET))
            sld_map_set(&g->plugins, p->items[i]->name, g);
    }
    for (struct sld_map_slot *e; (e = sld_map_next(&g->units, &at));)
        settle(g, e->value);
    look(g);
}

// ---- What came of it ----

static void take(struct gives *g, struct unit *u, const struct sld_secret_news *n)
{
    bool same = n->document && u->document && sld_hash_eq(u->document->obj.hash, n->document->obj.hash);
    u->renews_s = n->renews_s;
    set_problem(g, u, n->problem);
    if (!n->problem.p) {
        u->expires_s = n->expires_s;
        if (u->document && !n->document)
            g->ev.on_gone(g->ev.user, u->place);
        if (n->document && !same)
            g->ev.on_put(g->ev.user, u->place, n->document, true);
        g->news |= !same && (u->document || n->document);
        SLD_UNREF(u->document);
        u->document = sld_obj_ref(n->document);
    }
    answered(g, u);
}

void sld_gives_take(struct sld_source *s, const struct sld_secret_news *n)
{
    struct gives *g = gives_of(s);
    size_t at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&g->units, &at));) {
        struct unit *u = e->value;
        if (u->asked && sld_str_eq(u->plugin, n->plugin) && sld_str_eq(u->ref, n->ref))
            take(g, u, n);
    }
    look(g);
}

// The plugin does not run, or its hook does not end: nobody waits for it any longer.
static void on_late(void *user)
{
    struct gives *g = user;
    size_t at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&g->units, &at));) {
        struct unit *u = e->value;
        if (u->answered)
            continue;
        set_problem(g, u, SLD_STR("the plugin has not answered so far; solder describe plugin tells what it died of, or waits for"));
        answered(g, u);
    }
    look(g);
}

// ---- The source ----

void sld_gives_attach(struct sld_source *s, void (*fn)(void *user, struct sld_str plugin, struct sld_str ref, bool wanted), void *user)
{
    gives_of(s)->want = fn;
    gives_of(s)->user = user;
}

static enum sld_rc open(struct sld_loop *io, struct sld_str address, const struct Gloo__Settings *settings,
                        const struct sld_source_events *ev, struct sld_source **out, struct sld_err *err)
{
    struct gives *g = SLD_NEW(struct gives);
    (void)address, (void)settings, (void)err;
    g->source.ops = &sld_plugin_secrets_ops;
    g->ev = *ev;
    g->news = true;
    g->late = sld_timer_create(io, on_late, g);
    *out = &g->source;
    return SLD_OK;
}

static void reread(struct sld_source *s)
{
    struct gives *g = gives_of(s);
    size_t at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&g->units, &at));) {
        const struct unit *u = e->value;
        if (u->document)
            g->ev.on_put(g->ev.user, u->place, u->document, true);
    }
    g->news = true;
    look(g);
}

static size_t facts(struct sld_source *s, struct sld_source_fact *out, size_t max)
{
    struct gives *g = gives_of(s);
    size_t n = 0, count;
    struct sld_str *keys = sld_map_sorted_keys(&g->units, &count);
    for (size_t i = 0; i < count && n < max; i++) {
        const struct unit *u = sld_map_get(&g->units, keys[i]);
        struct sld_str name = u->key, head;
        sld_str_cut(&name, '/', &head);
        out[n++] = (struct sld_source_fact){.kind = SLD_STR("secret"),
                                            .name = name,
                                            .expires_s = u->expires_s,
                                            .renews_s = u->renews_s,
                                            .problem = u->problem[0] ? sld_str_c(u->problem) : SLD_STR_NONE};
    }
    sld_xfree(keys);
    return n;
}

static void close(struct sld_source *s)
{
    struct gives *g = gives_of(s);
    if (!s)
        return;
    size_t at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&g->units, &at));) {
        const struct unit *u = e->value;
        if (u->asked)
            g->want(g->user, u->plugin, u->ref, false);
        unit_free(e->value);
    }
    sld_map_fini(&g->units);
    sld_map_fini(&g->plugins);
    sld_timer_destroy(g->late);
    sld_xfree(g);
}

static bool matches(struct sld_str address)
{
    return sld_str_eq(address, SLD_STR(SLD_GIVES_ADDRESS));
}

const struct sld_source_ops sld_plugin_secrets_ops = {
    .name = "plugin secrets",
    .help = "secrets that plugins give",
    .matches = matches,
    .open = open,
    .want = want,
    .facts = facts,
    .reread = reread,
    .close = close,
};
