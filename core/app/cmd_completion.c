// solder completion bash|zsh: made of the tables of commands and flags. What is offered is what the tables say
// that a word stands for: files and folders only where one is wanted.
#include <stdio.h>

#include "app/builtin.h"
#include "app/commands.h"

enum wanted { NOTHING, A_FILE, A_FOLDER, A_KIND, A_NAME, A_SHELL };

static const struct {
    const char *word; // as help calls it
    enum wanted what;
} meanings[] = {
    {"DIR", A_FOLDER}, {"FILE", A_FILE},    {"KIND", A_KIND},   {"NAME", A_NAME},
    {"PATH", A_FILE},  {"SOURCE", A_FOLDER}, {"STORE", A_FOLDER}, {"SHELL", A_SHELL},
};
// In the script.
static const char *const wanted_names[] = {"-", "file", "folder", "kind", "name", "shell"};

// "[PATH...]" and "PATH" are the same to us.
static enum wanted wanted_by(struct sld_str word)
{
    while (word.n && (word.p[0] == '[' || word.p[0] == '.'))
        word = sld_str_sub(word, 1, word.n);
    while (word.n && (word.p[word.n - 1] == ']' || word.p[word.n - 1] == '.'))
        word.n--;
    for (size_t i = 0; i < SLD_ARRAY_LEN(meanings); i++) {
        if (sld_str_eq(word, sld_str_c(meanings[i].word)))
            return meanings[i].what;
    }
    return NOTHING;
}

// The flags of C whose values are WHAT, between blanks. A value that may be left out is never the next word.
static void flags_for(const struct sld_command *c, enum wanted what)
{
    for (size_t i = 0; i < c->flag_count; i++) {
        const struct sld_flag *f = &c->flags[i];
        if (!f->arg || f->arg[0] == '[' || wanted_by(sld_str_c(f->arg)) != what)
            continue;
        printf(" --%s", f->name);
        if (f->letter)
            printf(" -%c", f->letter);
    }
}

static void arguments_of(const struct sld_command *c)
{
    struct sld_str rest = sld_str_c(c->args ? c->args : ""), word;
    const char *between = "";
    while (rest.n && sld_str_cut(&rest, ' ', &word)) {
        enum wanted what = wanted_by(word);
        // A name is one of a kind; who makes something new thinks of one.
        if (what == A_NAME && strncmp(c->args, "KIND", 4) != 0 && strncmp(c->args, "[KIND", 5) != 0)
            what = NOTHING;
        printf("%s%s%s", between, wanted_names[what], sld_str_find(word, SLD_STR("...")) >= 0 ? " more" : "");
        between = " ";
    }
}

static void words_of(const struct sld_command *c)
{
    printf("    \"%s\") words=\"--help", c->name);
    for (size_t i = 0; i < c->flag_count; i++)
        printf(" --%s", c->flags[i].name);
    printf("\" files=\"");
    flags_for(c, A_FILE);
    printf(" \" folders=\"");
    flags_for(c, A_FOLDER);
    printf(" \" kinds=\"");
    flags_for(c, A_KIND);
    printf(" \" others=\"");
    flags_for(c, NOTHING);
    flags_for(c, A_NAME);
    printf(" \" args=\"");
    arguments_of(c);
    puts("\";;");
}

static void group_of(const struct sld_command *c)
{
    printf("    \"%s\") words=\"--help", c->name);
    for (size_t k = 0; k < c->sub_count; k++)
        printf(" %s", strrchr(c->subs[k]->name, ' ') + 1);
    puts("\";;");
    for (size_t k = 0; k < c->sub_count; k++)
        words_of(c->subs[k]);
}

static void commands(void)
{
    for (size_t i = 0; i < sld_builtin_command_count; i++) {
        if (!sld_builtin_commands[i]->hidden)
            printf(" %s", sld_builtin_commands[i]->name);
    }
}

static void groups(void)
{
    for (size_t i = 0; i < sld_builtin_command_count; i++) {
        if (!sld_builtin_commands[i]->hidden && sld_builtin_commands[i]->sub_count)
            printf(" %s", sld_builtin_commands[i]->name);
    }
}

static void kinds(void)
{
    for (size_t k = 0; k < SLD_KIND_COUNT; k++)
        printf(" %s", sld_kind_info((enum sld_kind)k)->plural);
}

static const char zsh_head[] = "# zsh completion of solder; source it behind compinit\n"
                               "autoload -Uz compinit bashcompinit\n"
                               "(( $+functions[compdef] )) || compinit\n"
                               "bashcompinit\n";
static const char bash_head[] = "# bash completion of solder; source it, or put it into /etc/bash_completion.d\n";

// Where the word stands: behind a flag that takes it, or which argument it is.
static const char middle[] =
    "  for ((; i < COMP_CWORD; i++)); do\n"
    "    case ${COMP_WORDS[i]} in\n"
    "      -*)\n"
    "        flag=${COMP_WORDS[i]}\n"
    "        case \"$files$folders$kinds$others\" in *\" $flag \"*) i=$((i + 1));; *) continue;; esac\n"
    "        if [ \"${COMP_WORDS[i]}\" = \"=\" ]; then\n"
    "          [ $i -eq $COMP_CWORD ] && cur=\n"
    "          i=$((i + 1))\n"
    "        fi;;\n"
    "      *) [ $at -eq 0 ] && kind=${COMP_WORDS[i]}; at=$((at + 1));;\n"
    "    esac\n"
    "  done\n"
    "  if [ $i -gt $COMP_CWORD ] || [ \"${COMP_WORDS[COMP_CWORD]}\" = \"=\" ]; then\n"
    "    case \"$files\" in *\" $flag \"*) want=file;; esac\n"
    "    case \"$folders\" in *\" $flag \"*) want=folder;; esac\n"
    "    case \"$kinds\" in *\" $flag \"*) want=kind;; esac\n"
    "  else\n"
    "    case $cur in\n"
    "      -*) want=flag;;\n"
    "      *)\n"
    "        want=flag\n"
    "        for word in $args; do\n"
    "          [ $word = more ] && break\n"
    "          want=$word\n"
    "          [ $at -eq 0 ] && break\n"
    "          at=$((at - 1)) want=flag last=$word\n"
    "        done\n"
    "        [ \"$word\" = more ] && want=$last;;\n"
    "    esac\n"
    "  fi\n"
    "  case $want in\n"
    "    flag) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"));;\n"
    "    kind) COMPREPLY=($(compgen -W \"$all_kinds\" -- \"$cur\"));;\n"
    "    shell) COMPREPLY=($(compgen -W \"bash zsh\" -- \"$cur\"));;\n"
    "    name) COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" get \"$kind\" -o name 2>/dev/null | sed 's,.*/,,')\" "
    "-- \"$cur\"));;\n"
    "    file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$cur\"));;\n"
    "    folder) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- \"$cur\"));;\n"
    "  esac\n"
    "}\n"
    "complete -F _solder solder\n";

static int run(struct sld_args *a)
{
    bool zsh = strcmp(a->pos[0], "zsh") == 0;
    if (!zsh && strcmp(a->pos[0], "bash"))
        return sld_usage("completion is there for bash and zsh, not for %s", a->pos[0]);
    fputs(zsh ? zsh_head : bash_head, stdout);
    fputs("_solder() {\n"
          "  local cur=${COMP_WORDS[COMP_CWORD]} cmd=${COMP_WORDS[1]} i=2 at=0 flag= want= word= last=\n"
          "  local words= files= folders= kinds= others= args= kind= all_kinds=\"",
          stdout);
    kinds();
    fputs("\"\n  COMPREPLY=()\n"
          "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "    COMPREPLY=($(compgen -W \"help",
          stdout);
    commands();
    fputs("\" -- \"$cur\")); return\n  fi\n  case \"", stdout);
    groups();
    fputs(" \" in *\" $cmd \"*) [ \"$COMP_CWORD\" -gt 2 ] && cmd=\"$cmd ${COMP_WORDS[2]}\" i=3;; esac\n"
          "  case $cmd in\n"
          "    help) words=\"",
          stdout);
    commands();
    fputs("\";;\n", stdout);
    for (size_t i = 0; i < sld_builtin_command_count; i++) {
        const struct sld_command *c = sld_builtin_commands[i];
        if (!c->hidden && c->sub_count)
            group_of(c);
        else if (!c->hidden)
            words_of(c);
    }
    fputs("  esac\n", stdout);
    fputs(middle, stdout);
    return SLD_EXIT_OK;
}

const struct sld_command sld_cmd_completion = {
    .name = "completion",
    .args = "SHELL",
    .help = "Prints the completion script of a shell: bash or zsh.",
    .more = "source <(solder completion bash)\nsource <(solder completion zsh)",
    .min_pos = 1,
    .max_pos = 1,
    .run = run,
};
