// What the model thread has to do with plugins, and tells of the worker: which plugins it is to run, with what configurations. On the model thread.
#pragma once

#include "app/model_thread.h"
#include "plugin/shape.h"

// What is restored may be a Plugin, or of use for one.
void model_plugins_touch(struct sld_plugin_set *plugins, const struct sld_raw *raw);
// Reads the folder.
void model_plugins_read(struct sld_plugin_set *plugins);

// The plugins in force that have hooks there.
struct model_workers {
    struct sld_arena arena;
    struct sld_worker_plugin *items; // borrowed bundles
    size_t count;
    struct sld_hash hash; // of all of them
};
struct model_workers model_workers_find(const struct sld_plugin_set *plugins);
void model_workers_fini(struct model_workers *w);
// Puts into N what is not as *TOLD, which follows, and the configurations of R.
void model_workers_tell(const struct model_workers *w, struct sld_hash *told, const struct sld_translate_result *r,
                        struct sld_model_news *n);
// Gives back what that put there. [any]
void model_workers_forget(struct sld_model_news *n);
