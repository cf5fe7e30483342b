// Private to the room: the modules solder.* that plugins require. Each function is told once, in the table of its
// module: from it the module is made, the manual and the definitions for editors are printed, mistakes in calls are
// found, and its example is run by the tests.
//
//   library.c        the list; how a module is made of its table; what the functions share
//   phase.c          which of them may be called when
//   library_hooks.c  what hooks are, and what they are given; ceilings: for people and editors
//   library_print.c  the manual;  library_luals.c  the definitions for editors
//   lib_<name>.c     the modules
#pragma once

#include "plugin/inside.h"

// ---- The table of bindings ----

enum { PL_PARAMS_MAX = 4, PL_RETURNS_MAX = 3 };

enum { PL_IN_LOAD = 1 << PL_LOAD, PL_IN_PURE = 1 << PL_PURE, PL_IN_REQUEST = 1 << PL_REQUEST, PL_IN_TASK = 1 << PL_TASK };
// Where there are a clock, chance and memory of earlier calls.
enum { PL_IN_CALLS = PL_IN_REQUEST | PL_IN_TASK };

// A parameter, a result, or an option: "name" or "name?", the type in LuaLS's words, what it is.
struct pl_value {
    const char *name, *type, *doc;
};

// A function of a module, or a method of its objects. Where the plugin is in another phase, or did not ask for what it
// needs, calling it is an error that says so.
struct pl_binding {
    const char *name;
    lua_CFunction fn;
    unsigned phases;     // PL_IN_*; 0: all of them
    unsigned need;       // PL_NEED(enum sld_need); 0: none
    const char *of;      // the object whose method it is; NULL: a function
    const char *doc;     // what follows may be left out where no author sees the table
    struct pl_value params[PL_PARAMS_MAX], returns[PL_RETURNS_MAX];
    const char *example; // Lua, in which the module has its own name; NULL: another function's shows it
};

// What is not a function: an object of a module, or a table of options.
struct pl_class {
    const char *name; // "jwt.VerifyOptions"
    const char *doc;
    const struct pl_value *fields;
    size_t field_count;
    lua_CFunction gc; // of an object; NULL: none
};

#define PL_NEED(need) ((unsigned)(need) + 1)

struct pl_module {
    const char *name; // required by; "solder.json"
    const char *doc;
    const struct pl_binding *bindings;
    size_t binding_count;
    const struct pl_class *classes;
    size_t class_count;
    void (*constants)(lua_State *L); // adds what is no function to the module on top; NULL: nothing
    const struct pl_value *values;   // those
    size_t value_count;
};

#define PL_BINDINGS(array) .bindings = (array), .binding_count = SLD_ARRAY_LEN(array)
#define PL_CLASSES(array) .classes = (array), .class_count = SLD_ARRAY_LEN(array)
#define PL_FIELDS(array) .fields = (array), .field_count = SLD_ARRAY_LEN(array)

extern const struct pl_module pl_aes, pl_base64, pl_cache, pl_cidr, pl_consul, pl_counters, pl_dns, pl_file, pl_hash, pl_hex, pl_http, pl_json, pl_jwt, pl_kv,
    pl_random, pl_re, pl_template,
    pl_time, pl_url, pl_vault, pl_x509, pl_yaml;
// All of them, by name.
extern const struct pl_module *const pl_library[];
extern const size_t pl_library_count;

// ---- What hooks are, and what they are given ---- (library_hooks.c)

struct pl_hook_doc {
    enum sld_hook hook;
    const char *params, *type; // "conf, req"; as a function in LuaLS's words
    const char *doc;
    const char *example; // a plugin called "example"
    const char *spec;    // of it
};
extern const struct pl_hook_doc pl_hook_docs[];
extern const size_t pl_hook_doc_count;
// The plugin's table (values) and the objects that hooks are given, whose functions are elsewhere.
extern const struct pl_module pl_handles;

enum pl_unit { PL_NUMBER, PL_STEPS_64, PL_MEBIBYTES, PL_KIBIBYTES, PL_MILLISECONDS };
struct pl_ceiling {
    const char *name, *doc; // as of Plugin.Limits
    enum pl_unit unit;
    size_t offset; // in struct sld_plugin_limits
};
extern const struct pl_ceiling pl_ceilings[];
extern const size_t pl_ceiling_count;

// NAME without the ? behind what may be left out.
struct sld_str pl_bare(const char *name);
// How many of VALUES, at most MAX, there are.
size_t pl_value_count(const struct pl_value *values, size_t max);
// When B may be called, if not always.
const char *pl_phases_text(const struct pl_binding *b);
// The definitions of M for LuaLS. (library_luals.c)
void pl_luals_print(struct sld_buf *out, const struct pl_module *m);

// The module of the library called "solder.<name>", or NULL.
const struct pl_module *pl_library_find(struct sld_str name);
// What M's name is without "solder.".
const char *pl_module_word(const struct pl_module *m);

// Pushes M, as require gives it.
void pl_require(lua_State *L, const struct pl_module *m);

// ---- phase.c ----

// Pushes M as a read-only table.
void pl_open_module(lua_State *L, const struct pl_module *m);
// Pushes one function of it, which looks at phase and need.
void pl_push_binding(lua_State *L, const struct pl_module *m, const struct pl_binding *b);

// ---- What the functions share ----

// Whether nothing but arguments may count now: while the plugin loads, checks and shapes.
bool pl_is_pure(lua_State *L);
// The string at INDEX, which must be one; pays for its length.
struct sld_str pl_arg(lua_State *L, int index);
// The table of options at INDEX, or nothing; raises for options that class NAME of M does not have. What is frozen is
// replaced on the stack by its content. FALSE: there is none.
bool pl_options(lua_State *L, int index, const struct pl_module *m, const char *name);
// An option of it: a whole number from MIN to MAX, a string (absent: not set), a boolean.
lua_Integer pl_option_int(lua_State *L, int index, const char *key, lua_Integer fallback, lua_Integer min, lua_Integer max);
double pl_option_number(lua_State *L, int index, const char *key, double fallback, double min, double max);
struct sld_str pl_option_str(lua_State *L, int index, const char *key);
bool pl_option_bool(lua_State *L, int index, const char *key, bool fallback);
// What a function gives when the outside's data are not right: nil and words.
int pl_not_right(lua_State *L, const char *fmt, ...) SLD_PRINTF(2, 3);
// Pushes a zeroed object of class NAME, of N bytes, with VALUES user values.
void *pl_push_object(lua_State *L, const struct pl_module *m, const char *name, size_t n, int values);
// The object of class NAME at INDEX, which must be one.
void *pl_object(lua_State *L, int index, const char *name);
// Memory of N bytes that C holds for an object counts like the state's own, until it is let go.
void pl_hold(lua_State *L, size_t n);
void pl_let_go(lua_State *L, size_t n);
// Pushes an arena that lives as long as it stays on the stack, whatever raises. With a ceiling of what strings may
// have. pl_arena_done frees it at once.
struct sld_arena *pl_arena(lua_State *L);
void pl_arena_done(struct sld_arena *a);
// The value that stands for null, in JSON and YAML.
void pl_push_null(lua_State *L);
bool pl_is_null(lua_State *L, int index);
// Marks the table at INDEX as an array, so that it is one even when it is empty; and asks for that.
void pl_mark_array(lua_State *L, int index);
bool pl_is_array(lua_State *L, int index);
// Reads JSON: pushes its value, or nothing, with words in ERR.
SLD_NODISCARD bool pl_json_read(lua_State *L, struct sld_str text, unsigned max_depth, struct sld_err *err);

struct sld_http_call;
// solder.http.request. (lib_http.c)
int pl_http_request(lua_State *L);
// Sends CALL (copied) for a function of the library called WHAT, with that many TRIES; ANSWER, called in the coroutine with the struct
// sld_http_answer, pushes what it returns. The last thing that function does. (lib_http.c)
int pl_http_ask(lua_State *L, const char *what, const struct sld_http_call *call, unsigned tries, int (*answer)(lua_State *L, void *arg));

// Opens a stream for CALL (copied) that ends when nothing comes for IDLE_MS, and pushes it, or nil and words, once its head has come;
// and its methods. (lib_stream.c)
int pl_stream_open(lua_State *L, const struct sld_http_call *call, uint64_t idle_ms, size_t line_max);
int pl_stream_chunks(lua_State *L);
int pl_stream_lines(lua_State *L);
int pl_stream_events(lua_State *L);
int pl_stream_status(lua_State *L);
int pl_stream_header(lua_State *L);
int pl_stream_problem(lua_State *L);
int pl_stream_close(lua_State *L);
int pl_stream_gc(lua_State *L);

// A string in the making, in the state's own memory. One slot of the stack, which stays where it is.
struct pl_out {
    lua_State *L;
    int index;
    char *p;
    size_t n, cap;
};
// Begins with room for EXPECT bytes; raises when that is more than strings may have, here and below.
void pl_out_begin(struct pl_out *o, lua_State *L, size_t expect);
void pl_out_add(struct pl_out *o, struct sld_str s);
void pl_out_addc(struct pl_out *o, char c);
// Pushes the string.
void pl_out_push(struct pl_out *o);
// Appends the value at INDEX as JSON; false with words in ERR for text that is not UTF-8; raises for what has no form.
SLD_NODISCARD bool pl_json_write(struct pl_out *o, int index, unsigned indent, unsigned depth, struct sld_err *err);
// Functions of solder.time that need no clock. (lib_date.c)
int pl_time_parse(lua_State *L);
int pl_time_format(lua_State *L);
int pl_time_http(lua_State *L);
int pl_time_duration(lua_State *L);
// Appends S with everything percent-encoded but letters, digits and -._~ .
void pl_url_escape(struct pl_out *o, struct sld_str s);
