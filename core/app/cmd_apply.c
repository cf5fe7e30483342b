// solder apply: writes documents into a store, after checking them.
#include <stdio.h>

#include "app/client.h"
#include "app/commands.h"
#include "app/wait.h"

enum { TIMEOUT_DEFAULT_S = 60, TIMEOUT_MAX_S = 24 * 3600 };

struct apply {
    struct sld_edit e;
    bool force, dry;
    int code;
};

// Whether the stored document says the same.
static bool says_same(const struct sld_edit_doc *d, const struct sld_store_doc *stored)
{
    struct sld_object *x = sld_edit_object(d), *y = sld_edit_stored(stored);
    bool same = y->ok && sld_msg_equal(sld_object_msg(x), sld_object_msg(y));
    SLD_UNREF(x);
    SLD_UNREF(y);
    return same;
}

static void fail(struct apply *p, const struct sld_edit_doc *d, const struct sld_err *err)
{
    p->code = sld_edit_fail(&p->e, &d->id, err, SLD_EXIT_FINDINGS);
}

// The version that is to be replaced: the one that the document was read at, if it says so, else the
// present one.
static bool expected(struct apply *p, const struct sld_edit_doc *d, struct sld_str present,
                     struct sld_store_expect *out)
{
    struct sld_str read_at = sld_edit_version(d);
    struct sld_err err = {0};
    *out = (struct sld_store_expect){.version = present, .force = p->force};
    if (p->force)
        out->version = SLD_STR_NONE;
    if (p->force || !read_at.p || sld_str_eq(read_at, present))
        return true;
    if (present.n)
        sld_err_set(&err, SLD_CONFLICT,
                    "it was read at version %.*s and is at %.*s now: somebody changed it; read it "
                    "again, or give --force",
                    SLD_FMT(read_at), SLD_FMT(present));
    else
        sld_err_set(&err, SLD_CONFLICT,
                    "it was read at version %.*s and is not there any more; remove "
                    "metadata.resourceVersion, or give --force",
                    SLD_FMT(read_at));
    fail(p, d, &err);
    return false;
}

static void apply_one(struct apply *p, const struct sld_edit_doc *d)
{
    struct sld_edit *e = &p->e;
    struct sld_store_doc stored = {.version = SLD_STR("")};
    struct sld_store_expect expect;
    struct sld_err err = {0};
    enum sld_rc rc = e->store->ops->get(e->store, &e->arena, d->id, &stored, &err);
    bool there = !rc;
    if (rc && rc != SLD_NOT_FOUND) {
        fail(p, d, &err);
        return;
    }
    if (!expected(p, d, stored.version, &expect))
        return;
    if (there && says_same(d, &stored)) {
        sld_edit_say(d->id, "unchanged");
        return;
    }
    const char *word = there ? "configured" : "created";
    err = (struct sld_err){0};
    if (!p->dry)
        rc = e->store->ops->put(e->store, &e->arena, d->id, sld_edit_text(e, d), &expect, NULL, &err);
    if (p->dry || !rc)
        sld_edit_say(d->id, p->dry ? (there ? "configured (dry run)" : "created (dry run)") : word);
    else
        fail(p, d, &err);
}

static void wait_all(struct apply *p, uint64_t seconds)
{
    struct sld_edit *e = &p->e;
    uint64_t until = sld_mono_ns() + seconds * UINT64_C(1000000000);
    for (size_t i = 0; i < e->doc_count; i++) {
        const struct sld_edit_doc *d = &e->docs[i];
        struct sld_object *o = sld_edit_object(d);
        struct sld_hash content = sld_msg_hash(sld_object_msg(o));
        struct sld_err err = {0};
        if (sld_wait_object(e, d->id, content, until, &err))
            fail(p, d, &err);
        SLD_UNREF(o);
    }
    size_t n = 0;
    struct sld_err err = {0};
    if (!p->code && sld_wait_envoys(e, until, &n, &err))
        p->code = sld_edit_fail(e, NULL, &err, SLD_EXIT_FINDINGS);
    if (!p->code && !n)
        fputs("no Envoy is connected\n", stderr);
}

static int apply(struct apply *p, uint64_t seconds)
{
    struct sld_edit *e = &p->e;
    struct sld_err err = {0};
    if (sld_edit_read(e, &err) || sld_edit_open(e, "config", &err))
        return sld_edit_fail(e, NULL, &err, SLD_EXIT_FINDINGS);
    if (!sld_edit_check(e)) {
        sld_err_set(&err, SLD_INVALID, "nothing was written");
        return sld_edit_fail(e, NULL, &err, SLD_EXIT_FINDINGS);
    }
    for (size_t i = 0; i < e->doc_count; i++)
        apply_one(p, &e->docs[i]);
    sld_edit_close(e);
    if (seconds && !p->dry && !p->code)
        wait_all(p, seconds);
    return p->code;
}

static int run(struct sld_args *args)
{
    struct apply p = {.force = sld_args_has(args, "force"), .dry = sld_args_has(args, "dry-run")};
    uint64_t seconds = TIMEOUT_DEFAULT_S;
    const char *timeout = sld_args_get(args, "timeout");
    if (timeout && (!sld_str_u64(sld_str_c(timeout), &seconds) || !seconds || seconds > TIMEOUT_MAX_S))
        return sld_usage("--timeout takes seconds, 1 to %d, not %s", TIMEOUT_MAX_S, timeout);
    if (!sld_args_has(args, "file"))
        return sld_usage("apply needs -f FILE, -f DIRECTORY or -f -");
    struct sld_err err = {0};
    int code = sld_edit_init(&p.e, args, &err)
                   ? sld_edit_fail(&p.e, NULL, &err, SLD_EXIT_USAGE)
                   : apply(&p, sld_args_has(args, "wait") ? seconds : 0);
    sld_edit_fini(&p.e);
    return code;
}

static const struct sld_flag flags[] = {
    SLD_CLIENT_FLAGS,
    SLD_STORE_FLAG("config"),
    {.name = "dry-run", .help = "check, and tell what would be written"},
    SLD_EDIT_FILES_FLAG,
    {.name = "force",
     .help = "write over other versions, and files that solder apply did not write"},
    SLD_EDIT_NAMESPACE_FLAG,
    SLD_SETTINGS_FLAGS,
    {.name = "timeout", .arg = "SECONDS", .help = "of --wait; default 60"},
    {.name = "wait", .help = "until the server has a status of each, and its Envoys have taken it"},
};

const struct sld_command sld_cmd_apply = {
    .name = "apply",
    .args = "",
    .help = "Checks documents and writes them into a directory or Consul.",
    .more = "solder apply -f virtualservice.yaml --wait\n"
            "solder apply -f ./config --config consul://127.0.0.1:8500/gloo\n\n"
            "Nothing is written when a document is wrong; references to what is not there are told of\n"
            "and do not hinder. A document that has metadata.resourceVersion (as solder get --from\n"
            "prints it) is written only if it is still at that version.\n\n"
            "Exit code 0: all is there; 1: something was refused; 2: wrong usage.",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .run = run,
};
