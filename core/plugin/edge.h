// Private to the room: code of a plugin that runs in Envoy, and what of Lua it may use.
#pragma once

#include "plugin/bytecode.h"
#include "plugin/inside.h"

// Texts of lua/: edge.lua and luajit.lua stand in front of it; envoy.lua is Envoy for specs.
extern const unsigned char pl_edge_text[], pl_envoy_text[], pl_luajit_text[];
extern const size_t pl_edge_bytes, pl_envoy_bytes, pl_luajit_bytes;

struct sld_plugin;

// Takes what is wrong with line LINE of FILE; the strings are borrowed.
typedef void pl_fault(void *user, enum sld_severity severity, struct sld_str file, int line, struct sld_str words);

// The edge code of a plugin. In the plugin's arena.
struct pl_edge {
    struct sld_str main;   // the file that is run: edge.lua, or plugin.lua where there is none
    struct sld_str *files; // all that are shipped, MAIN first, then by name
    size_t file_count;
    struct pl_plain {
        struct sld_str file;
        int line;
        size_t steps, calls; // of it, as of pl_function
    } *plain; // functions that go back nowhere, and their lines have no other function
    size_t plain_count;
    struct sld_str text; // what Envoy gets; absent: the plugin has no edge code
    struct {
        struct sld_str file;
        int first, last; // lines; 0: it is not there
    } hooks[SLD_HOOK_COUNT];
};

// Reads the edge code of P, whose table says runs = "envoy": runs it in a state of its own, and checks all files it needs.
// What is wrong goes to FAULT; without one it is an error. SLD_INVALID, SLD_LIMIT: with words.
SLD_NODISCARD enum sld_rc pl_edge_read(struct sld_plugin *p, pl_fault *fault, void *user, struct sld_err *err);
// Pushes the table of hooks of the edge code of P, made anew: runs MAIN. For a state that is loading.
void pl_edge_run(lua_State *L, const struct sld_plugin *p);

// Appends S as a string of Lua's.
void pl_lua_quote(struct sld_buf *b, struct sld_str s);

// ---- dialect.c ----

// What of the file NAME with TEXT, compiled as C, is not there in Envoy.
void pl_dialect_check(struct sld_arena *a, struct sld_str name, struct sld_str text, const struct pl_chunk *c, pl_fault *fault,
                      void *user);
