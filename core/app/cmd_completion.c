// solder completion bash: made of the tables of commands and flags.
#include <stdio.h>

#include "app/builtin.h"
#include "app/commands.h"

static void words_of(const struct sld_command *c)
{
    printf("    %s) words=\"--help", c->name);
    for (size_t i = 0; i < c->flag_count; i++)
        printf(" --%s", c->flags[i].name);
    for (size_t k = 0; k < c->sub_count; k++) {
        printf(" %s", strrchr(c->subs[k]->name, ' ') + 1);
        for (size_t i = 0; i < c->subs[k]->flag_count; i++)
            printf(" --%s", c->subs[k]->flags[i].name);
    }
    puts("\";;");
}

static int run(struct sld_args *a)
{
    if (strcmp(a->pos[0], "bash"))
        return sld_usage("completion is there for bash, not for %s", a->pos[0]);
    fputs("# bash completion of solder; source it, or put it into /etc/bash_completion.d\n"
          "_solder() {\n"
          "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words\n"
          "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "    words=\"help",
          stdout);
    for (size_t i = 0; i < sld_builtin_command_count; i++) {
        if (!sld_builtin_commands[i]->hidden)
            printf(" %s", sld_builtin_commands[i]->name);
    }
    fputs("\"\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")); return\n  fi\n  case "
          "${COMP_WORDS[1]} in\n",
          stdout);
    for (size_t i = 0; i < sld_builtin_command_count; i++) {
        if (!sld_builtin_commands[i]->hidden)
            words_of(sld_builtin_commands[i]);
    }
    fputs("    help) words=\"", stdout);
    for (size_t i = 0; i < sld_builtin_command_count; i++) {
        if (!sld_builtin_commands[i]->hidden)
            printf("%s%s", i ? " " : "", sld_builtin_commands[i]->name);
    }
    fputs("\";;\n  esac\n"
          "  if [[ \" get describe delete \" == *\" ${COMP_WORDS[1]} \"* ]]; then\n"
          "    if [ \"$COMP_CWORD\" -eq 2 ]; then words=\"$words",
          stdout);
    for (size_t k = 0; k < SLD_KIND_COUNT; k++)
        printf(" %s", sld_kind_info((enum sld_kind)k)->plural);
    fputs("\"; fi\n  fi\n"
          "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "  case $cur in -*) ;; *) COMPREPLY+=($(compgen -f -- \"$cur\"));; esac\n"
          "}\ncomplete -o filenames -F _solder solder\n",
          stdout);
    return SLD_EXIT_OK;
}

const struct sld_command sld_cmd_completion = {
    .name = "completion",
    .args = "SHELL",
    .help = "Prints the completion script of a shell: bash.",
    .more = "source <(solder completion bash)",
    .min_pos = 1,
    .max_pos = 1,
    .run = run,
};
