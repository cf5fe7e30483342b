// The commands of solder plugin, one file for one or two of them.
#pragma once

#include "app/flags.h"
#include "plugin/plugin.h"

// The commands, for the group's table.
extern const struct sld_command sld_cmd_plugin_check;
extern const struct sld_command sld_cmd_plugin_doc;
extern const struct sld_command sld_cmd_plugin_new;
extern const struct sld_command sld_cmd_plugin_record;
extern const struct sld_command sld_cmd_plugin_run;
extern const struct sld_command sld_cmd_plugin_test;

// Prints the manual of the library to stdout, as Markdown or HTML. The exit code.
int sld_plugin_cli_library(bool html);
// Writes the library's definitions for LuaLS into folder DIR, made when it is missing, in place of older ones. TELL: prints
// the files. The exit code.
int sld_plugin_cli_luals(const char *dir, bool tell);
// Replays the records in FILE with the plugin in FOLDER; OUTPUT: "table", "json" or NULL. The exit code.
int sld_plugin_cli_replay(struct sld_str folder, const char *file, const char *output);
// Reads the plugin at PATH ("." too), a folder or a file. A reference in *OUT; or words on stderr, and the exit code
// of wrong usage.
int sld_plugin_cli_read(const char *path, struct sld_plugin_bundle **out);
// PATH/FILE as people write it: without "./", and PATH alone when it is the file. In A.
struct sld_str sld_plugin_cli_place(struct sld_arena *a, const char *path, struct sld_str file);
