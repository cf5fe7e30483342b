// plugin/author: what the commands for authors of plugins stand on.
#pragma once

#include "plugin/plugin.h"

// ---- Mistakes ----

// One thing that is wrong.
struct sld_plugin_fault {
    enum sld_severity severity;
    struct sld_str file; // below the plugin's folder
    int line;            // 0: none
    struct sld_str words;
};

struct sld_plugin_faults {
    struct sld_arena arena;
    struct sld_plugin_fault *items; // by file and line
    size_t count, errors;
};

// Looks at B: the syntax of all files, names that nobody defined, fields that configuration, messages and context do
// not have, needs that are not declared, and whether it loads. Fill a zeroed OUT; end with sld_plugin_faults_fini.
// The plugin, if it loads, in *PLUGIN (a reference; PLUGIN may be NULL).
void sld_plugin_lint(struct sld_plugin_bundle *b, const struct sld_plugin_limits *limits, struct sld_plugin_faults *out,
                     struct sld_plugin **plugin);
void sld_plugin_faults_fini(struct sld_plugin_faults *f);

// ---- Manuals ----

// The manual of P as Markdown: what it is for, its hooks and needs, its configuration.
void sld_plugin_print_manual(struct sld_buf *out, const struct sld_plugin *p);
// The JSON Schema of P's configuration.
void sld_plugin_print_schema(struct sld_buf *out, const struct sld_plugin *p);

// ---- The library ----

// How many files of definitions there are: of each module solder.*, and of what plugins are; and the name of number I.
size_t sld_library_count(void);
const char *sld_library_name(size_t i);
// The manual of plugins and of all of them, as Markdown, and as a page of HTML that needs nothing else.
void sld_library_print_manual(struct sld_buf *out);
void sld_library_print_html(struct sld_buf *out);
// The definitions of number I for LuaLS, the language server of editors: the text of solder/<name>.lua.
void sld_library_print_luals(struct sld_buf *out, size_t i);

// ---- Specs ----

// What a run of specs needs of the world.
struct sld_spec_world {
    // Translates the documents in TEXT with PLUGIN at Unix time NOW_S (0: the clock's): appends
    // {"xds": [{type, role, name, resource}...], "findings": [{code, severity, object, path, message, line}...]}.
    enum sld_rc (*translate)(void *user, struct sld_plugin *plugin, struct sld_str text, int64_t now_s, struct sld_buf *json,
                             struct sld_err *err);
    // Snapshot NAME (a-z, 0-9 and -) against TEXT: SLD_OK when it says the same, or does so now; SLD_CONFLICT with what it
    // says in WAS; SLD_NOT_FOUND.
    enum sld_rc (*snapshot)(void *user, struct sld_str name, struct sld_str text, struct sld_buf *was);
    void *user;
};

// One test that ran.
struct sld_spec_result {
    struct sld_str file, name; // NAME is empty when the file itself did not load
    bool ok;
    struct sld_str words; // of the failure: "file:line: what"
    uint64_t ns;
};

// Lines of one file of the plugin.
struct sld_spec_cover {
    struct sld_str file;
    size_t count, ran;
    const int *missed; // lines that did not run
    size_t missed_count;
};

struct sld_spec_run {
    const struct sld_spec_world *world;
    const struct sld_plugin_limits *limits; // of the plugin; a test may take what loading may
    struct sld_str filter;                  // only tests whose name has it; absent: all
    void (*on_result)(void *user, const struct sld_spec_result *r); // strings are borrowed
    void (*on_cover)(void *user, const struct sld_spec_cover *c);   // NULL: lines are not looked at
    void *user;
};

// Runs the specs (spec/*_spec.lua) of the plugin in folder PATH, each file in a state of its own, and tells of each test.
// SLD_INVALID: the plugin does not load; SLD_NOT_FOUND: there is no spec; else as sld_plugin_bundle_read. Failed
// tests are no error.
SLD_NODISCARD enum sld_rc sld_plugin_test(struct sld_str path, const struct sld_spec_run *run, struct sld_err *err);

// ---- Replays ----

// What became of one line of records.
struct sld_replay_result {
    size_t line;                // its number, from 1
    struct sld_str method, path;
    struct sld_str was, is;     // "allow", "deny 403", "error"
    struct sld_str differs;     // which parts of the decision do, with ", " between; empty: none
    struct sld_str before, now; // the decisions as JSON
    struct sld_str notes;       // why that may be no fault of the plugin: what is hidden, that others were asked
};

struct sld_replay_run {
    const struct sld_plugin_limits *limits;
    void (*on_result)(void *user, const struct sld_replay_result *r); // strings are borrowed
    void *user;
    size_t same, differ, others; // counted; OTHERS: lines of other plugins
};

// Asks the plugin in PATH anew about each request in RECORDS, lines as of plugin/record.h, one after another in one state. The clock
// shows the time of the record; others that the plugin asks do not answer. SLD_INVALID: the plugin does not load or has no hook for
// requests in Solder, or RECORDS cannot be read; SLD_NOT_FOUND: they are of other plugins; else as sld_plugin_bundle_read.
SLD_NODISCARD enum sld_rc sld_plugin_replay(struct sld_str path, struct sld_str records, struct sld_replay_run *run, struct sld_err *err);
