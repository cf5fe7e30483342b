// What the model thread has to do with plugins, and tells of the worker.
#include "app/model_worker.h"

void model_plugins_touch(struct sld_plugin_set *plugins, const struct sld_raw *raw)
{
    sld_plugin_set_touch(plugins, sld_raw_ident(raw), true);
}

void model_plugins_read(struct sld_plugin_set *plugins)
{
    struct sld_err err = {0};
    if (sld_plugin_set_reread(plugins, &err))
        SLD_LOG(SLD_LOG_ERROR, "app", "plugins_unreadable", SLD_KC("msg", err.msg));
}

static void add(void *arg, const struct sld_plugin_state *p)
{
    struct model_workers *w = arg;
    const struct sld_plugin_slot *slot = p->slot;
    if (!slot->plugin || !sld_plugin_worker_hooks(slot->plugin))
        return;
    struct sld_worker_plugin one = {sld_plugin_files(slot->plugin), *sld_plugin_limits(slot->plugin), sld_plugin_slot_open(slot)};
    w->hash = sld_hash_mix(w->hash, slot->obj.hash);
    SLD_PUSH(&w->arena, w->items, w->count, one);
}

struct model_workers model_workers_find(const struct sld_plugin_set *plugins)
{
    struct model_workers w = {0};
    sld_plugin_set_each(plugins, add, &w);
    return w;
}

void model_workers_fini(struct model_workers *w)
{
    sld_arena_fini(&w->arena);
}

void model_workers_tell(const struct model_workers *w, struct sld_hash *told, const struct sld_translate_result *r,
                        struct sld_model_news *n)
{
    n->workers_changed = !sld_hash_eq(w->hash, *told);
    *told = w->hash;
    for (size_t i = 0; n->workers_changed && i < w->count; i++) {
        struct sld_worker_plugin one = w->items[i];
        sld_obj_ref(one.bundle);
        SLD_PUSH(&n->arena, n->workers, n->worker_count, one);
    }
    for (size_t i = 0; i < r->conf_count; i++) {
        struct sld_conf_change one = {sld_arena_str(&n->arena, r->confs[i].id), sld_obj_ref(r->confs[i].conf)};
        SLD_PUSH(&n->arena, n->confs, n->conf_count, one);
    }
}

void model_workers_forget(struct sld_model_news *n)
{
    for (size_t i = 0; i < n->worker_count; i++)
        SLD_UNREF(n->workers[i].bundle);
    for (size_t i = 0; i < n->conf_count; i++)
        SLD_UNREF(n->confs[i].conf);
}
