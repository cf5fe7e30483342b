// Private to the room: what the test kit's parts share.
#pragma once

#include "plugin/inside.h"

// The text of lua/test.lua.
extern const unsigned char pl_kit_text[];
extern const size_t pl_kit_bytes;

// The made-up world of a spec, in which the task of its plugin runs.
struct pl_spec_world;
struct pl_spec_world *pl_spec_world_create(struct sld_plugin *plugin);
// Pushes a table of functions for the kit.
void pl_spec_world_open(lua_State *L, struct pl_spec_world *w);
// The test is over: nothing of it is left.
void pl_spec_world_end(struct pl_spec_world *w);
// NULL is fine.
void pl_spec_world_destroy(struct pl_spec_world *w);

// Which lines of a plugin's files ran, whatever state they ran in.
struct pl_cover {
    struct sld_arena arena;
    const struct sld_plugin_bundle *bundle;
    bool **ran;      // per file, per line from 0; NULL: none of it
    size_t *lines;   // per file: how many
    const char *last; // the source that was looked at last, and its file
    size_t last_file;
};

// Zeroed COVER for the files of B, which lives longer.
void pl_cover_init(struct pl_cover *cover, const struct sld_plugin_bundle *b);
// The line hook of states that have a cover.
void pl_cover_line(struct pl_cover *cover, lua_State *L, lua_Debug *ar);
void pl_cover_fini(struct pl_cover *cover);
