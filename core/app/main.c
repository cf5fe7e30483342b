// The command line's entry: finds the command, parses its flags, runs it.
#include <stdio.h>

#include "app/builtin.h"
#include "app/commands.h"

static const struct sld_command *find(struct sld_str name)
{
    for (size_t i = 0; i < sld_builtin_command_count; i++) {
        if (sld_str_eq(sld_str_c(sld_builtin_commands[i]->name), name))
            return sld_builtin_commands[i];
    }
    return NULL;
}

static void list(FILE *to)
{
    fputs("Solder: the control plane of stock Envoy, inside Kubernetes and outside.\n\nsolder "
          "COMMAND [FLAGS] [ARGUMENTS]\n\nCommands:\n",
          to);
    for (size_t i = 0; i < sld_builtin_command_count; i++) {
        const struct sld_command *c = sld_builtin_commands[i];
        if (!c->hidden)
            fprintf(to, "  %-12s %s\n", c->name, c->help);
    }
    fputs("\nsolder COMMAND --help tells more.\n", to);
}

static int help(const struct sld_command *c)
{
    struct sld_buf b;
    sld_buf_init(&b, 1U << 20);
    sld_command_help(&b, c);
    fwrite(b.p, 1, b.n, stdout);
    sld_buf_fini(&b);
    return SLD_EXIT_OK;
}

static int unknown(struct sld_str name)
{
    const char *like = NULL;
    size_t least = 3;
    for (size_t i = 0; i < sld_builtin_command_count; i++) {
        size_t d = sld_str_distance(sld_str_c(sld_builtin_commands[i]->name), name, 3);
        if (d < least && !sld_builtin_commands[i]->hidden) {
            least = d;
            like = sld_builtin_commands[i]->name;
        }
    }
    return sld_usage("there is no command %.*s%s%s%s; solder help lists them", SLD_FMT(name),
                     like ? "; did you mean " : "", like ? like : "", like ? "?" : "");
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    sld_alloc_tune();
    struct sld_str name = sld_str_c(argc > 1 ? argv[1] : "help");
    if (sld_str_eq(name, SLD_STR("help")) || sld_str_eq(name, SLD_STR("--help")) ||
        sld_str_eq(name, SLD_STR("-h"))) {
        const struct sld_command *about = argc > 2 ? find(sld_str_c(argv[2])) : NULL;
        if (about && about->subs && argc > 3)
            about = sld_command_sub(about, sld_str_c(argv[3]));
        if (argc > 2 && !about)
            return unknown(sld_str_c(argv[2]));
        if (about)
            return help(about);
        list(argc > 1 ? stdout : stderr);
        return argc > 1 ? SLD_EXIT_OK : SLD_EXIT_USAGE;
    }
    const struct sld_command *c =
        find(sld_str_eq(name, SLD_STR("--version")) ? SLD_STR("version") : name);
    if (!c)
        return unknown(name);
    if (c->hidden) { // not for people: it parses its own arguments
        struct sld_args raw = {.cmd = c, .argc = argc - 1, .argv = argv + 1};
        return c->run(&raw);
    }
    if (c->subs && argc > 2 && argv[2][0] != '-') {
        const struct sld_command *group = c;
        c = sld_command_sub(group, sld_str_c(argv[2]));
        if (!c)
            return sld_usage("there is no command %s %s; solder %s --help lists them", group->name, argv[2], group->name);
        argc--;
        argv++;
    }
    if (wants_help(argc - 1, argv + 1))
        return help(c);
    if (c->subs)
        return sld_usage("%s needs a command; solder %s --help lists them", c->name, c->name);
    struct sld_args a;
    struct sld_err err = {0};
    if (sld_args_parse(c, argc - 1, argv + 1, &a, &err))
        return sld_usage("%s", err.msg);
    int code = c->run(&a);
    sld_args_fini(&a);
    return code;
}
