// Command lines: flags and commands are tables; parsing, --help, completion and the manual come
// from them.
#pragma once

#include "base/base.h"

struct sld_flag {
    const char *name; // without "--"
    char letter;      // short form, or 0
    const char
        *arg; // name of its value in help; NULL = a switch; "[PATH]" = the value may be left out
    const char *env;  // variable that gives its value when the flag does not, or NULL
    const char *help; // one line
    bool repeat;      // may be given several times
};

struct sld_args;

struct sld_command {
    const char *name;
    const char *args; // positional arguments in help: "PATH...", ""
    const char *help; // one line
    const char *more; // paragraphs and examples below the flags, or NULL
    const struct sld_flag *flags;
    size_t flag_count;
    size_t min_pos, max_pos;        // positional arguments
    int (*run)(struct sld_args *a); // exit code
    bool hidden;                    // not in lists
    // A group: its commands, whose names begin with the group's ("plugin new"). It has no flags and no run.
    const struct sld_command *const *subs;
    size_t sub_count;
};

// Exit codes (design section 10).
enum { SLD_EXIT_OK = 0, SLD_EXIT_FINDINGS = 1, SLD_EXIT_USAGE = 2 };

// Parsed command line. Lives until sld_args_fini; strings are argv's or the environment's.
struct sld_args {
    const struct sld_command *cmd;
    const char ***values; // per flag: its values in order, NULL-terminated
    const char **pos;
    size_t pos_count;
    int argc; // of the command itself: argv[0] is its name
    char **argv;
};

// Parses ARGV (argv[0] is the command's name). SLD_INVALID with words that name the flag and how to
// write it.
SLD_NODISCARD enum sld_rc sld_args_parse(const struct sld_command *cmd, int argc, char **argv,
                                         struct sld_args *out, struct sld_err *err);
void sld_args_fini(struct sld_args *a);
// True when flag NAME was given (also by its variable).
bool sld_args_has(const struct sld_args *a, const char *name);
// The last value of flag NAME, or NULL. A switch, or an optional value left out, gives "".
const char *sld_args_get(const struct sld_args *a, const char *name);
// All values, NULL-terminated.
const char *const *sld_args_all(const struct sld_args *a, const char *name);
// The command of group C called NAME ("new"), or NULL.
const struct sld_command *sld_command_sub(const struct sld_command *c, struct sld_str name);
// Help text of one command.
void sld_command_help(struct sld_buf *out, const struct sld_command *c);
