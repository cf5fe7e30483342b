// Private to the room: the state a plugin runs in, and what its parts share.
//
//   bundle.c   the files of a plugin, read once
//   host.c     a Lua state with ceilings: memory, steps, time; every way into it goes through pl_run
//   sandbox.c  the environment, from nothing by allow-list;  lib_string.c, lib_table.c, pattern.c
//   freeze.c   what a plugin made while it loaded becomes read-only
//   value.c    trees and Structs to Lua values and back
#pragma once

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "plugin/plugin.h"

// What a state is doing; decides what its libraries do.
enum pl_phase {
    PL_LOAD,    // the plugin's files run
    PL_PURE,    // a function whose result may depend on its arguments alone: shape_*, check, rules
    PL_REQUEST, // a call for somebody who waits: it may wait too, until its deadline
    PL_TASK,    // a call without an end
    PL_PHASE_COUNT
};

enum pl_breach { PL_NO_BREACH, PL_STEPS, PL_TIME, PL_MEMORY, PL_COROUTINES };

// A plugin's state. Everything in it may raise, so nothing is done in it but by pl_run.
struct pl_host {
    lua_State *L;
    struct sld_plugin_limits limits;
    struct sld_plugin_bundle *bundle; // own reference
    enum pl_phase phase;
    unsigned needs;           // bit per sld_need that the plugin has
    const struct sld_str *files; // granted; the plugin's
    size_t file_count;
    bool wipes;               // memory that held something is overwritten before it is let go: it may have been a secret
    bool in_envoy;            // its code is what Envoy runs, where of solder.* there are schemas alone
    size_t used_bytes, peak_bytes;
    int64_t steps;            // left of this call
    uint64_t deadline_ns;
    enum pl_breach breach;    // of this call: no pcall catches it
    unsigned coroutines;      // made in this call
    unsigned lines;           // logged in this call
    uint64_t call;            // number of the call at work, 0: none; what was lent to another one is stale
    uint64_t calls;           // numbers given so far
    size_t variables;         // that freeze.c remembers
    struct pl_task *task;     // at work, where it is one that may wait
    struct pl_task_pool *pool; // task.c; NULL: no call that may wait was made yet
    struct sld_plugin_counters *counters; // own reference; NULL: none yet
    struct sld_plugin_kv *kv;             // the same
    struct pl_streams *streams;           // lib_stream.c; NULL: none was opened yet
    struct sld_plugin_backends *backends; // the same; NULL: nobody is known
    char trace[2048];         // the stack of the last error
    struct pl_cover *cover;   // of kit.h: lines that run are marked there; NULL: not
    lua_CFunction table_fns[8], close; // of the standard library
};

// ---- bundle.c ----

// sld_plugin_bundle_read; SPECS: spec/ is read too.
SLD_NODISCARD enum sld_rc pl_bundle_read(struct sld_str path, bool specs, struct sld_plugin_bundle **out, struct sld_err *err);

// ---- host.c ----

// A state with the environment in it. SLD_LIMIT when not even that fits.
SLD_NODISCARD enum sld_rc pl_host_create(const struct sld_plugin_limits *limits,
                                         struct sld_plugin_bundle *bundle, struct pl_host **out,
                                         struct sld_err *err);
void pl_host_destroy(struct pl_host *h);
// Runs FN(ARG as light userdata) in the state, within the ceilings of PHASE. What FN leaves on the
// stack is dropped. SLD_LIMIT: a ceiling was reached; SLD_INVALID: the script raised an error.
SLD_NODISCARD enum sld_rc pl_run(struct pl_host *h, enum pl_phase phase, lua_CFunction fn, void *arg,
                                 struct sld_err *err);
// What pl_run is made of, for calls that go on in several runs: from pl_enter to pl_leave the state works in L, with all that
// PHASE may take, as call CALL; pl_failed says what came of a run that ended with STATUS and an error on top of L.
void pl_enter(struct pl_host *h, lua_State *L, enum pl_phase phase, uint64_t call);
void pl_leave(struct pl_host *h, lua_State *L);
enum sld_rc pl_failed(struct pl_host *h, lua_State *L, int status, struct sld_err *err);
struct pl_host *pl_host_of(lua_State *L);
// The state of a plugin. (plugin.c)
struct pl_host *pl_host_of_plugin(struct sld_plugin *p);
// Counts STEPS, work done outside of Lua's own instructions; raises when the call has none left.
void pl_spend(lua_State *L, size_t steps);
// Raises again when a ceiling was reached: for whatever catches errors.
void pl_no_catch(lua_State *L);
_Noreturn void pl_breach(lua_State *L, enum pl_breach b);
// Raises "<file>:<line>: <words>", where the script called the running C function.
_Noreturn void pl_error(lua_State *L, const char *fmt, ...) SLD_PRINTF(2, 3);
// The string at INDEX, which must be one (numbers do not count).
struct sld_str pl_str(lua_State *L, int index);
void pl_push_str(lua_State *L, struct sld_str s);
// Raises when a string of N bytes is longer than strings may be.
void pl_string_fits(lua_State *L, size_t n);

// ---- sandbox.c ----

// Builds the environment: a read-only table kept in the registry.
void pl_sandbox_open(lua_State *L);
// Pushes the environment.
void pl_sandbox_env(lua_State *L);
// Pushes a text for any value, in which nothing of memory addresses shows.
void pl_tostring(lua_State *L, int index);
// Compiles TEXT as chunk NAME with the environment; pushes the function or raises.
void pl_compile(lua_State *L, struct sld_str text, const char *name);
void pl_open_string(lua_State *L); // lib_string.c: pushes the library
void pl_open_table(lua_State *L);  // lib_table.c: pushes the library
// Puts the keys of the table at INDEX into a new list, in order: numbers, then strings by their bytes.
// Raises for keys without an order. (lib_table.c)
void pl_sorted_keys(lua_State *L, int index);

// ---- freeze.c ----

// Makes the N tables on top of the stack, and all that can be reached from them, read-only, and
// remembers the variables of functions. Raises for what cannot be made so.
void pl_freeze(lua_State *L, int n);
// Pushes what the frozen table at INDEX holds; false, and nothing, when it is not frozen.
bool pl_thawed(lua_State *L, int index);
// The frozen table for the metatable on top, if it is one: replaces it.
void pl_proxy_of(lua_State *L);
// The code of the chunk on top may assign the variables that it assigns: these, by their names, are what pl_freeze remembers.
void pl_freeze_assigned(lua_State *L);
// Raises, after setting it back, when a variable that outlives the call was assigned.
void pl_freeze_check(lua_State *L);

// ---- pattern.c ----

enum { PL_CAPTURES_MAX = 32 };

// A search in SUBJECT by Lua's patterns, with every step counted.
struct pl_match {
    lua_State *L;
    const char *subject, *end, *pattern, *pattern_end;
    unsigned depth;  // of recursion
    unsigned steps;  // not yet spent
    unsigned level;  // captures
    struct {
        const char *at;
        ptrdiff_t len; // or PL_CAP_OPEN, PL_CAP_PLACE
    } capture[PL_CAPTURES_MAX];
};
enum { PL_CAP_OPEN = -1, PL_CAP_PLACE = -2 };

// The end of a match at S, or NULL; raises for patterns that are not well formed.
const char *pl_pattern_match(struct pl_match *m, const char *s, const char *p);
