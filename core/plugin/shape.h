// plugin/shape: what translation sees of plugins: one feature for all of them, and what it keeps of each.
#pragma once

#include "plugin/plugin.h"

struct sld_feature;
// Serves options.extensions.configs; runs behind all other features.
extern const struct sld_feature sld_feature_extensions;

// What translation is given of a plugin (sld_translate_set_plugin). A refcounted object.
struct sld_plugin_slot {
    struct sld_obj obj;        // hash: of the plugin's version, or of ERROR
    struct sld_plugin *plugin; // own reference; NULL: no version of it ever loaded
    struct sld_str error;      // why not
    struct sld_arena arena;
};
// Takes the reference PLUGIN over; or PLUGIN is NULL and ERROR says why.
struct sld_plugin_slot *sld_plugin_slot_create(struct sld_plugin *plugin, struct sld_str error);

// ---- A folder of plugins ----

struct sld_plugins_events {
    // Plugin NAME is SLOT now (borrowed), or gone (NULL).
    void (*on_plugin)(void *user, struct sld_str name, struct sld_plugin_slot *slot);
    // What NAME says now could not be loaded; the version before goes on. Once for each text.
    void (*on_problem)(void *user, struct sld_str name, struct sld_str words);
    void *user;
};
struct sld_plugins;

// The plugins in folder DIR: <name>.lua, and <name>/ with plugin.lua. Nothing is read yet.
struct sld_plugins *sld_plugins_create(struct sld_str dir, const struct sld_plugin_limits *limits,
                                       const struct sld_plugins_events *ev);
// NULL is fine.
void sld_plugins_destroy(struct sld_plugins *p);
// Reads all of it and tells what changed, by name. A new version is loaded aside and takes the place of the old one
// when it is whole. SLD_IO: the folder cannot be read; nothing changed.
SLD_NODISCARD enum sld_rc sld_plugins_reread(struct sld_plugins *p, struct sld_err *err);
