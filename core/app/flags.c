// Command lines.
#include "app/flags.h"

#include <stdio.h>
#include <stdlib.h>

static int flag_index(const struct sld_command *c, struct sld_str name)
{
    for (size_t i = 0; i < c->flag_count; i++) {
        if (sld_str_eq(sld_str_c(c->flags[i].name), name))
            return (int)i;
    }
    return -1;
}

static int letter_index(const struct sld_command *c, char letter)
{
    for (size_t i = 0; i < c->flag_count; i++) {
        if (c->flags[i].letter && c->flags[i].letter == letter)
            return (int)i;
    }
    return -1;
}

static const char *nearest(const struct sld_command *c, struct sld_str name)
{
    const char *best = NULL;
    size_t least = 3;
    for (size_t i = 0; i < c->flag_count; i++) {
        size_t d = sld_str_distance(sld_str_c(c->flags[i].name), name, 3);
        if (d < least) {
            least = d;
            best = c->flags[i].name;
        }
    }
    return best;
}

static void add_value(struct sld_args *a, size_t flag, const char *value)
{
    size_t n = 0;
    while (a->values[flag] && a->values[flag][n])
        n++;
    a->values[flag] = sld_xrealloc(a->values[flag], (n + 2) * sizeof(const char *));
    a->values[flag][n] = value;
    a->values[flag][n + 1] = NULL;
}

static enum sld_rc take_flag(struct sld_args *a, int i, const char *inlined, int *at,
                             struct sld_err *err)
{
    const struct sld_flag *f = &a->cmd->flags[i];
    if (a->values[i] && !f->repeat)
        return sld_err_set(err, SLD_INVALID, "--%s is given twice; give it once", f->name);
    if (!f->arg) {
        if (inlined)
            return sld_err_set(err, SLD_INVALID, "--%s takes no value", f->name);
        add_value(a, (size_t)i, "");
        return SLD_OK;
    }
    if (inlined) {
        add_value(a, (size_t)i, inlined);
        return SLD_OK;
    }
    bool next = *at + 1 < a->argc && (a->argv[*at + 1][0] != '-' || !a->argv[*at + 1][1]);
    if (next)
        add_value(a, (size_t)i, a->argv[++*at]);
    else if (f->arg[0] == '[')
        add_value(a, (size_t)i, "");
    else
        return sld_err_set(err, SLD_INVALID, "--%s needs a value: --%s %s", f->name, f->name,
                           f->arg);
    return SLD_OK;
}

static enum sld_rc take_long(struct sld_args *a, int *at, struct sld_err *err)
{
    struct sld_str rest = sld_str_c(a->argv[*at] + 2), name;
    const char *eq = strchr(a->argv[*at], '=');
    sld_str_cut(&rest, '=', &name);
    int i = flag_index(a->cmd, name);
    if (i >= 0)
        return take_flag(a, i, eq ? eq + 1 : NULL, at, err);
    const char *like = nearest(a->cmd, name);
    return sld_err_set(err, SLD_INVALID, "there is no flag --%.*s%s%s%s; see solder %s --help",
                       SLD_FMT(name), like ? "; did you mean --" : "", like ? like : "",
                       like ? "?" : "", a->cmd->name);
}

static void take_env(struct sld_args *a)
{
    for (size_t i = 0; i < a->cmd->flag_count; i++) {
        const struct sld_flag *f = &a->cmd->flags[i];
        const char *v = f->env && !a->values[i] ? getenv(f->env) : NULL;
        if (v && v[0])
            add_value(a, i, f->arg ? v : "");
    }
}

enum sld_rc sld_args_parse(const struct sld_command *cmd, int argc, char **argv, struct sld_args *a,
                           struct sld_err *err)
{
    *a = (struct sld_args){.cmd = cmd, .argc = argc, .argv = argv};
    a->values = sld_xcalloc(cmd->flag_count + 1, sizeof(*a->values));
    a->pos = sld_xcalloc((size_t)argc + 1, sizeof(*a->pos));
    bool only_pos = false;
    for (int i = 1; i < argc; i++) {
        const char *s = argv[i];
        enum sld_rc rc = SLD_OK;
        if (only_pos || s[0] != '-' || !s[1]) {
            a->pos[a->pos_count++] = s;
        } else if (!strcmp(s, "--")) {
            only_pos = true;
        } else if (s[1] == '-') {
            rc = take_long(a, &i, err);
        } else {
            int f = letter_index(cmd, s[1]);
            if (f < 0)
                rc = sld_err_set(err, SLD_INVALID, "there is no flag %s; see solder %s --help", s,
                                 cmd->name);
            else
                rc = take_flag(a, f, s[2] ? s + 2 : NULL, &i, err);
        }
        if (rc) {
            sld_args_fini(a);
            return rc;
        }
    }
    take_env(a);
    if (a->pos_count >= cmd->min_pos && a->pos_count <= cmd->max_pos)
        return SLD_OK;
    sld_args_fini(a);
    return sld_err_set(err, SLD_INVALID, "usage: solder %s [FLAGS] %s", cmd->name, cmd->args);
}

void sld_args_fini(struct sld_args *a)
{
    for (size_t i = 0; a->values && i < a->cmd->flag_count; i++)
        sld_xfree(a->values[i]);
    sld_xfree(a->values);
    sld_xfree(a->pos);
    a->values = NULL;
    a->pos = NULL;
}

const char *const *sld_args_all(const struct sld_args *a, const char *name)
{
    static const char *const none[] = {NULL};
    int i = flag_index(a->cmd, sld_str_c(name));
    SLD_PRE(i >= 0);
    return a->values[i] ? a->values[i] : none;
}

bool sld_args_has(const struct sld_args *a, const char *name)
{
    return sld_args_all(a, name)[0] != NULL;
}

const char *sld_args_get(const struct sld_args *a, const char *name)
{
    const char *const *v = sld_args_all(a, name);
    const char *last = NULL;
    for (; *v; v++)
        last = *v;
    return last;
}

// The word behind the group's name.
static const char *sub_word(const struct sld_command *sub)
{
    return strrchr(sub->name, ' ') + 1;
}

const struct sld_command *sld_command_sub(const struct sld_command *c, struct sld_str name)
{
    for (size_t i = 0; i < c->sub_count; i++) {
        if (sld_str_eq(sld_str_c(sub_word(c->subs[i])), name))
            return c->subs[i];
    }
    return NULL;
}

static void group_help(struct sld_buf *out, const struct sld_command *c)
{
    sld_buf_addf(out, "solder %s %s\n\n%s\n\n", c->name, c->args, c->help);
    for (size_t i = 0; i < c->sub_count; i++)
        sld_buf_addf(out, "  %-12s %s\n", sub_word(c->subs[i]), c->subs[i]->help);
    sld_buf_addf(out, "\nsolder %s COMMAND --help tells more.\n", c->name);
}

void sld_command_help(struct sld_buf *out, const struct sld_command *c)
{
    if (c->subs) {
        group_help(out, c);
        return;
    }
    sld_buf_addf(out, "solder %s%s%s%s\n\n%s\n", c->name, c->flag_count ? " [FLAGS]" : "",
                 c->args[0] ? " " : "", c->args, c->help);
    if (c->flag_count)
        sld_buf_addz(out, "\nFlags:\n");
    for (size_t i = 0; i < c->flag_count; i++) {
        const struct sld_flag *f = &c->flags[i];
        char left[64];
        char letter[5] = "    ";
        if (f->letter)
            snprintf(letter, sizeof(letter), "-%c, ", f->letter);
        snprintf(left, sizeof(left), "%s--%s%s%s", letter, f->name, f->arg ? " " : "",
                 f->arg ? f->arg : "");
        sld_buf_addf(out, "  %-30s %s%s", left, f->help, f->repeat ? " (repeatable)" : "");
        if (f->env)
            sld_buf_addf(out, " [$%s]", f->env);
        sld_buf_addc(out, '\n');
    }
    if (c->more)
        sld_buf_addf(out, "\n%s\n", c->more);
}
