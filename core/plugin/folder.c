// A folder of plugins, and the slots that translation keeps them in.
#include "plugin/declare.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static void slot_free(struct sld_obj *o)
{
    struct sld_plugin_slot *s = (struct sld_plugin_slot *)o;
    SLD_UNREF(s->plugin);
    SLD_UNREF(s->last);
    for (size_t i = 0; i < s->member_count; i++)
        SLD_UNREF(s->members[i]);
    sld_arena_fini(&s->arena);
    sld_xfree(s);
}

struct sld_plugin_slot *sld_plugin_slot_create(struct sld_plugin *plugin, struct sld_str error)
{
    struct sld_plugin_slot *s = SLD_NEW(struct sld_plugin_slot);
    struct sld_hash hash = plugin ? ((const struct sld_obj *)plugin)->hash : sld_hash_bytes(error);
    sld_obj_init(&s->obj, slot_free, sld_hash_mix(hash, (struct sld_hash){plugin != NULL, 0}));
    s->plugin = plugin;
    s->error = sld_arena_str(&s->arena, error);
    return s;
}

bool sld_plugin_slot_open(const struct sld_plugin_slot *s)
{
    return s->declared && !strcmp(s->declared->on_error, "open");
}

struct entry {
    struct sld_hash tried;        // of the text that was loaded, or tried, last
    struct sld_plugin_slot *slot; // own reference
    bool seen;
};

struct sld_plugins {
    struct sld_arena arena;
    struct sld_str dir;
    struct sld_plugin_limits limits;
    struct sld_plugins_events ev;
    struct sld_map entries; // by name
};

struct sld_plugins *sld_plugins_create(struct sld_str dir, const struct sld_plugin_limits *limits,
                                       const struct sld_plugins_events *ev)
{
    struct sld_plugins *p = SLD_NEW(struct sld_plugins);
    p->dir = sld_arena_str(&p->arena, dir);
    p->limits = *limits;
    p->ev = *ev;
    return p;
}

static void entry_free(struct entry *e)
{
    SLD_UNREF(e->slot);
    sld_xfree(e);
}

void sld_plugins_destroy(struct sld_plugins *p)
{
    if (!p)
        return;
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&p->entries, &at));)
        entry_free(s->value);
    sld_map_fini(&p->entries);
    sld_arena_fini(&p->arena);
    sld_xfree(p);
}

static int by_bytes(const void *x, const void *y)
{
    return sld_str_cmp(*(const struct sld_str *)x, *(const struct sld_str *)y);
}

static enum sld_rc list(struct sld_plugins *p, struct sld_arena *a, struct sld_str **names, size_t *n, struct sld_err *err)
{
    DIR *d = opendir(sld_arena_cstr(a, p->dir));
    if (!d)
        return sld_err_errno(err, errno, "the folder of plugins %.*s cannot be read", SLD_FMT(p->dir));
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        bool there = e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &st, 0) == 0;
        if (there && (S_ISDIR(st.st_mode) || sld_str_ends(sld_str_c(e->d_name), SLD_STR(".lua"))))
            SLD_PUSH(a, *names, *n, sld_arena_str(a, sld_str_c(e->d_name)));
    }
    closedir(d);
    if (*n)
        qsort(*names, *n, sizeof(**names), by_bytes);
    return SLD_OK;
}

static struct entry *entry_of(struct sld_plugins *p, struct sld_str name)
{
    struct entry *e = sld_map_get(&p->entries, name);
    if (!e) {
        e = SLD_NEW(struct entry);
        sld_map_set(&p->entries, name, e);
    }
    return e;
}

static void look(struct sld_plugins *p, struct sld_str path, struct sld_str name)
{
    struct sld_plugin_bundle *b = NULL;
    struct sld_plugin *plugin = NULL;
    struct sld_err err = {0};
    struct entry *e = entry_of(p, name);
    enum sld_rc rc = sld_plugin_bundle_read(path, &b, &err);
    struct sld_hash hash = rc ? sld_hash_bytes(sld_str_c(err.msg)) : b->obj.hash;
    bool twice = e->seen, same = sld_hash_eq(e->tried, hash);
    e->seen = true;
    if (twice || same) { // of two of one name the first counts
        SLD_UNREF(b);
        return;
    }
    e->tried = hash;
    if (!rc)
        rc = sld_plugin_load(b, &p->limits, &plugin, &err);
    SLD_UNREF(b);
    if (rc && e->slot && e->slot->plugin) {
        p->ev.on_problem(p->ev.user, name, sld_str_c(err.msg));
        return;
    }
    SLD_UNREF(e->slot);
    e->slot = sld_plugin_slot_create(plugin, rc ? sld_str_c(err.msg) : SLD_STR(""));
    p->ev.on_plugin(p->ev.user, name, e->slot);
}

enum sld_rc sld_plugins_reread(struct sld_plugins *p, struct sld_err *err)
{
    struct sld_arena a = {0};
    struct sld_str *names = NULL, *known;
    size_t n = 0, count;
    enum sld_rc rc = list(p, &a, &names, &n, err);
    if (rc)
        goto out;
    known = sld_map_sorted_keys(&p->entries, &count);
    for (size_t i = 0; i < count; i++)
        ((struct entry *)sld_map_get(&p->entries, known[i]))->seen = false;
    sld_xfree(known);
    for (size_t i = 0; i < n; i++) {
        struct sld_str name = names[i];
        if (sld_str_ends(name, SLD_STR(".lua")))
            name.n -= 4;
        look(p, SLD_ARENA_JOIN(&a, p->dir, SLD_STR("/"), names[i]), name);
    }
    known = sld_map_sorted_keys(&p->entries, &count);
    for (size_t i = 0; i < count; i++) {
        struct entry *e = sld_map_get(&p->entries, known[i]);
        if (e->seen)
            continue;
        p->ev.on_plugin(p->ev.user, known[i], NULL);
        sld_map_remove(&p->entries, known[i]);
        entry_free(e);
    }
    sld_xfree(known);
out:
    sld_arena_fini(&a);
    return rc;
}
