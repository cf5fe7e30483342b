// solder delete: removes documents from a store.
#include <stdio.h>

#include "app/client.h"
#include "app/commands.h"
#include "app/wait.h"

enum { WAIT_S = 60 };

struct removal {
    struct sld_edit e;
    struct sld_ident *gone; // what was removed
    size_t gone_count;
    bool force, dry, wait;
    int code;
};

static void remove_one(struct removal *r, struct sld_ident id)
{
    struct sld_edit *e = &r->e;
    struct sld_store_doc stored;
    struct sld_err err = {0};
    enum sld_rc rc = e->store->ops->get(e->store, &e->arena, id, &stored, &err);
    if (!rc && !r->dry) {
        struct sld_store_expect expect = {.version = r->force ? SLD_STR_NONE : stored.version,
                                          .force = r->force};
        rc = e->store->ops->remove(e->store, id, &expect, &err);
    }
    if (rc) {
        r->code = sld_edit_fail(e, &id, &err, SLD_EXIT_FINDINGS);
        return;
    }
    sld_edit_say(id, r->dry ? "deleted (dry run)" : "deleted");
    SLD_PUSH(&e->arena, r->gone, r->gone_count, id);
}

static void wait_all(struct removal *r)
{
    struct sld_edit *e = &r->e;
    uint64_t until = sld_mono_ns() + WAIT_S * UINT64_C(1000000000);
    for (size_t i = 0; i < r->gone_count; i++) {
        struct sld_err err = {0};
        if (sld_wait_gone(e, r->gone[i], until, &err))
            r->code = sld_edit_fail(e, &r->gone[i], &err, SLD_EXIT_FINDINGS);
    }
}

static int remove_all(struct removal *r, const struct sld_kind_info *kind)
{
    struct sld_edit *e = &r->e;
    const struct sld_args *args = e->args;
    struct sld_err err = {0};
    if ((sld_args_has(args, "file") && sld_edit_read(e, &err)) || sld_edit_open(e, "config", &err))
        return sld_edit_fail(e, NULL, &err, SLD_EXIT_FINDINGS);
    for (size_t i = 0; i < e->doc_count; i++)
        remove_one(r, e->docs[i].id);
    for (size_t i = 1; i < args->pos_count; i++)
        remove_one(r, (struct sld_ident){kind->kind, e->ns.n ? e->ns : SLD_STR("gloo-system"),
                                         sld_str_c(args->pos[i])});
    sld_edit_close(e);
    if (r->wait && !r->dry)
        wait_all(r);
    return r->code;
}

static int run(struct sld_args *args)
{
    struct removal r = {.force = sld_args_has(args, "force"),
                        .dry = sld_args_has(args, "dry-run"),
                        .wait = sld_args_has(args, "wait")};
    bool files = sld_args_has(args, "file");
    if (files == (args->pos_count > 0) || args->pos_count == 1)
        return sld_usage("delete needs either KIND NAME or -f PATH");
    const struct sld_kind_info *kind = files ? NULL : sld_kind_find(sld_str_c(args->pos[0]));
    if (!files && !kind)
        return sld_unknown_kind(args->pos[0]);
    struct sld_err err = {0};
    int code = sld_edit_init(&r.e, args, &err) ? sld_edit_fail(&r.e, NULL, &err, SLD_EXIT_USAGE)
                                               : remove_all(&r, kind);
    sld_edit_fini(&r.e);
    return code;
}

static const struct sld_flag flags[] = {
    SLD_CLIENT_FLAGS,
    SLD_STORE_FLAG("config"),
    {.name = "dry-run", .help = "tell what would be deleted"},
    SLD_EDIT_FILES_FLAG,
    {.name = "force", .help = "also what was changed meanwhile, and files that people wrote"},
    {.name = "namespace",
     .letter = 'n',
     .arg = "NS",
     .env = "SOLDER_NAMESPACE",
     .help = "namespace; default gloo-system, with -f that of the documents"},
    SLD_SETTINGS_FLAGS,
    {.name = "wait", .help = "until the server has none of it any more"},
};

const struct sld_command sld_cmd_delete = {
    .name = "delete",
    .args = "[KIND NAME...]",
    .help = "Removes documents from a directory or Consul.",
    .more = "solder delete vs default -n gloo-system\nsolder delete -f ./config --wait\n\n"
            "Exit code 0: gone; 1: something was not there, or refused; 2: wrong usage.",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .max_pos = 64,
    .run = run,
};
