// solder diff: what apply would change, field by field.
#include <stdio.h>

#include "app/client.h"
#include "app/commands.h"
#include "app/edit.h"

// diff(1)'s exit codes.
enum { SAME = 0, DIFFERENT = 1, TROUBLE = 2 };

static void print_change(const struct sld_change *c)
{
    if (!c->before.p)
        printf("  + %.*s: %.*s\n", SLD_FMT(c->path), SLD_FMT(c->after));
    else if (!c->after.p)
        printf("  - %.*s: %.*s\n", SLD_FMT(c->path), SLD_FMT(c->before));
    else
        printf("  ~ %.*s: %.*s -> %.*s\n", SLD_FMT(c->path), SLD_FMT(c->before), SLD_FMT(c->after));
}

static int diff_one(struct sld_edit *e, const struct sld_edit_doc *d)
{
    struct sld_store_doc stored;
    struct sld_err err = {0};
    enum sld_rc rc = e->store->ops->get(e->store, &e->arena, d->id, &stored, &err);
    if (rc == SLD_NOT_FOUND) {
        sld_edit_say(d->id, "is new");
        return DIFFERENT;
    }
    if (rc)
        return sld_edit_fail(e, &d->id, &err, TROUBLE);
    struct sld_object *now = sld_edit_stored(&stored), *then = sld_edit_object(d);
    size_t n = 0;
    const struct sld_change *c =
        sld_msg_diff(&e->arena, sld_object_msg(now), sld_object_msg(then), &n);
    if (n)
        sld_edit_say(d->id, "differs");
    for (size_t i = 0; i < n; i++)
        print_change(&c[i]);
    SLD_UNREF(now);
    SLD_UNREF(then);
    return n ? DIFFERENT : SAME;
}

static int diff(struct sld_edit *e)
{
    struct sld_err err = {0};
    int code = SAME;
    if (sld_edit_read(e, &err) || sld_edit_open(e, "config", &err))
        return sld_edit_fail(e, NULL, &err, TROUBLE);
    if (!sld_edit_check(e)) {
        sld_err_set(&err, SLD_INVALID, "the documents are wrong, so what they would change is not known");
        return sld_edit_fail(e, NULL, &err, TROUBLE);
    }
    for (size_t i = 0; i < e->doc_count; i++) {
        int one = diff_one(e, &e->docs[i]);
        code = one > code ? one : code;
    }
    return code;
}

static int run(struct sld_args *args)
{
    struct sld_edit e = {0};
    struct sld_err err = {0};
    if (!sld_args_has(args, "file"))
        return sld_usage("diff needs -f FILE, -f DIRECTORY or -f -");
    int code = sld_edit_init(&e, args, &err) ? sld_edit_fail(&e, NULL, &err, TROUBLE) : diff(&e);
    sld_edit_fini(&e);
    return code;
}

static const struct sld_flag flags[] = {
    SLD_CLIENT_FLAGS,        SLD_STORE_FLAG("config"), SLD_EDIT_FILES_FLAG,
    SLD_EDIT_NAMESPACE_FLAG, SLD_SETTINGS_FLAGS,
};

const struct sld_command sld_cmd_diff = {
    .name = "diff",
    .args = "",
    .help = "Tells what solder apply would change, field by field.",
    .more = "solder diff -f ./config --config /etc/solder\n\n"
            "+ is new, - is gone, ~ is another value; secret values are ***.\n"
            "Exit code 0: no differences; 1: differences; 2: could not tell.",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .run = run,
};
