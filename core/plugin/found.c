// What a plugin's task found, as a source of documents: what was told last stays, whatever becomes of the task.
#include "plugin/found.h"

struct unit {
    struct sld_blob *bytes;
    bool said; // by the task that speaks now
};

struct found {
    struct sld_source source; // first
    struct sld_source_events ev;
    struct sld_map units;     // by name
    struct sld_timer *wait;   // for the first reading; stops for good when it came, or was waited for long enough
    uint64_t opened_ns;
    bool waited;
    bool synced;              // the task that speaks now has told all
    bool down;
};

static struct found *found_of(struct sld_source *s)
{
    return (struct found *)s;
}

// Nothing was published in time. With nothing of a former process that has to be kept, the reading is as good as empty, and nobody
// needs to wait any more; else what was kept is served.
static void on_wait(void *user)
{
    struct found *f = user;
    f->waited = true;
    if (!f->ev.restored)
        f->ev.on_synced(f->ev.user);
    if (!f->down)
        sld_found_problem(&f->source, SLD_STR("the plugin has not published anything so far"));
}

static enum sld_rc open(struct sld_loop *io, struct sld_str address, const struct Gloo__Settings *settings,
                        const struct sld_source_events *ev, struct sld_source **out, struct sld_err *err)
{
    struct found *f = SLD_NEW(struct found);
    (void)address, (void)settings, (void)err;
    f->source.ops = &sld_plugin_source_ops;
    f->ev = *ev;
    f->wait = sld_timer_create(io, on_wait, f);
    f->opened_ns = sld_mono_ns();
    sld_timer_start(f->wait, sld_plugin_limits_default.publish_ms);
    *out = &f->source;
    return SLD_OK;
}

static void reread(struct sld_source *s)
{
    struct found *f = found_of(s);
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&f->units, &at));)
        f->ev.on_put(f->ev.user, slot->key, ((struct unit *)slot->value)->bytes, true);
    if (f->synced)
        f->ev.on_synced(f->ev.user);
}

static void unit_free(struct unit *u)
{
    SLD_UNREF(u->bytes);
    sld_xfree(u);
}

static void close(struct sld_source *s)
{
    struct found *f = found_of(s);
    if (!s)
        return;
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&f->units, &at));)
        unit_free(slot->value);
    sld_map_fini(&f->units);
    sld_timer_destroy(f->wait);
    sld_xfree(f);
}

static bool matches(struct sld_str address)
{
    return sld_str_starts(address, SLD_STR(SLD_FOUND_PREFIX));
}

const struct sld_source_ops sld_plugin_source_ops = {
    .name = "plugin",
    .help = "upstreams that a plugin discovers",
    .matches = matches,
    .open = open,
    .reread = reread,
    .close = close,
};

void sld_found_patience(struct sld_source *s, unsigned ms)
{
    struct found *f = found_of(s);
    uint64_t past = (sld_mono_ns() - f->opened_ns) / 1000000;
    if (!f->waited)
        sld_timer_start(f->wait, ms > past ? ms - past : 0);
}

// ---- What the task tells ----

void sld_found_begin(struct sld_source *s)
{
    struct found *f = found_of(s);
    size_t at = 0;
    f->synced = false;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&f->units, &at));)
        ((struct unit *)slot->value)->said = false;
}

void sld_found_put(struct sld_source *s, struct sld_str name, struct sld_blob *bytes)
{
    struct found *f = found_of(s);
    struct unit *u = sld_map_get(&f->units, name);
    if (!u) {
        u = SLD_NEW(struct unit);
        sld_map_set(&f->units, name, u);
    }
    u->said = true;
    if (u->bytes && sld_hash_eq(u->bytes->obj.hash, bytes->obj.hash))
        return;
    SLD_UNREF(u->bytes);
    u->bytes = sld_obj_ref(bytes);
    f->ev.on_put(f->ev.user, name, bytes, true);
}

void sld_found_gone(struct sld_source *s, struct sld_str name)
{
    struct found *f = found_of(s);
    struct unit *u = sld_map_remove(&f->units, name);
    if (u)
        unit_free(u);
    f->ev.on_gone(f->ev.user, name);
}

void sld_found_synced(struct sld_source *s)
{
    struct found *f = found_of(s);
    size_t n = 0;
    struct sld_str *names = sld_map_sorted_keys(&f->units, &n);
    struct sld_arena a = {0};
    for (size_t i = 0; i < n; i++) {
        if (!((const struct unit *)sld_map_get(&f->units, names[i]))->said)
            sld_found_gone(s, sld_arena_str(&a, names[i]));
    }
    sld_xfree(names);
    sld_arena_fini(&a);
    f->synced = f->waited = true;
    sld_timer_stop(f->wait);
    f->ev.on_synced(f->ev.user);
}

void sld_found_problem(struct sld_source *s, struct sld_str message)
{
    struct found *f = found_of(s);
    if (!message.p && !f->down)
        return;
    f->down = message.p != NULL;
    f->ev.on_problem(f->ev.user, SLD_STR(""), SLD_SOURCE_STALE, message);
}
