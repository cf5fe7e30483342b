// Waiting for a running server, by its admin API.
#include "app/wait.h"

#include <stdio.h>
#include <time.h>

#include "app/client.h"

enum { PART_MS = 20 * 1000, LOOK_MS = 20 };

static struct sld_str text(const struct sld_node *n, const char *key)
{
    struct sld_str s = sld_node_text(sld_node_get(n, sld_str_c(key)));
    return s.p ? s : SLD_STR("");
}

static uint64_t left_ms(uint64_t until_ns)
{
    uint64_t now = sld_mono_ns();
    return now < until_ns ? (until_ns - now) / 1000000 + 1 : 0;
}

// Waits for the index to become greater than *INDEX, which gets the new one, but not for ever.
static enum sld_rc wait_news(struct sld_edit *e, struct sld_arena *a, uint64_t until_ns,
                             uint64_t *index, struct sld_err *err)
{
    uint64_t ms = left_ms(until_ns);
    if (ms == 0)
        return sld_err_set(err, SLD_AGAIN, "not in time");
    struct sld_node *root;
    struct sld_str path = sld_arena_fmt(a, "/v1/objects?limit=1&index=%llu&wait=%llums",
                                        (unsigned long long)*index,
                                        (unsigned long long)(ms < PART_MS ? ms : PART_MS));
    enum sld_rc rc = sld_client_get_json(a, e->args, path, &root, err);
    if (!rc && !sld_str_u64(text(root, "index"), index))
        rc = sld_err_set(err, SLD_INVALID, "the server's answer has no index");
    return rc;
}

static struct sld_str object_path(struct sld_arena *a, struct sld_ident id)
{
    return sld_arena_fmt(a, "/v1/objects/%s/%.*s/%.*s?document=true", sld_kind_info(id.kind)->plural,
                         SLD_FMT(sld_client_escape(a, id.ns)), SLD_FMT(sld_client_escape(a, id.name)));
}

static void print_findings(struct sld_ident id, const struct sld_node *findings)
{
    for (size_t i = 0; findings && i < findings->count; i++) {
        const struct sld_node *f = findings->items[i];
        struct sld_str path = text(f, "path");
        if (!sld_str_eq(text(f, "severity"), SLD_STR("note")))
            fprintf(stderr, "%.*s:%.*s:%.*s: %.*s %.*s: %s %.*s.%.*s: %.*s%s%.*s\n",
                    SLD_FMT(text(f, "origin")), SLD_FMT(text(f, "line")), SLD_FMT(text(f, "column")),
                    SLD_FMT(text(f, "severity")), SLD_FMT(text(f, "code")),
                    sld_kind_info(id.kind)->name, SLD_FMT(id.ns), SLD_FMT(id.name), SLD_FMT(path),
                    path.n ? ": " : "", SLD_FMT(text(f, "message")));
    }
}

// Whether ROOT tells of the document of CONTENT with a status. Between two rounds the status is of the
// document before.
static bool is_there(const struct sld_node *root, struct sld_hash content)
{
    char hash[17];
    sld_hash_text(content, hash);
    struct sld_str has = text(root, "content");
    return (sld_hash_zero(content) || !has.n || sld_str_eq(has, sld_str_c(hash))) &&
           !sld_str_eq(text(root, "pending"), SLD_STR("true")) &&
           !sld_str_eq(text(root, "state"), SLD_STR("Pending"));
}

static enum sld_rc verdict(struct sld_ident id, const struct sld_node *root, struct sld_err *err)
{
    print_findings(id, sld_node_get(root, SLD_STR("findings")));
    if (!sld_str_eq(text(root, "state"), SLD_STR("Rejected")))
        return SLD_OK;
    return sld_err_set(err, SLD_INVALID, "the server rejects it; %s",
                       sld_str_eq(text(root, "lastGood"), SLD_STR("true"))
                           ? "the last accepted form stays in force"
                           : "it is not in force");
}

enum sld_rc sld_wait_object(struct sld_edit *e, struct sld_ident id, struct sld_hash content,
                            uint64_t until_ns, struct sld_err *err)
{
    uint64_t index = 0;
    char origin[256] = "";
    for (;;) {
        struct sld_arena a = {0};
        struct sld_node *root = NULL;
        enum sld_rc rc = sld_client_get_json(&a, e->args, object_path(&a, id), &root, err);
        if (!rc && is_there(root, content)) {
            rc = verdict(id, root, err);
            sld_arena_fini(&a);
            return rc;
        }
        if (!rc)
            snprintf(origin, sizeof(origin), "%.*s", SLD_FMT(text(root, "origin")));
        if (!rc || rc == SLD_NOT_FOUND)
            rc = wait_news(e, &a, until_ns, &index, err);
        sld_arena_fini(&a);
        if (rc == SLD_AGAIN && origin[0])
            return sld_err_set(err, rc,
                               "the server has not read it in time; what it has of it is in %s", origin);
        if (rc == SLD_AGAIN)
            return sld_err_set(err, rc,
                               "the server has not read it in time; is it from a source of the "
                               "server's? GET /v1/sources tells");
        if (rc)
            return rc;
    }
}

enum sld_rc sld_wait_gone(struct sld_edit *e, struct sld_ident id, uint64_t until_ns,
                          struct sld_err *err)
{
    uint64_t index = 0;
    for (;;) {
        struct sld_arena a = {0};
        struct sld_node *root = NULL;
        enum sld_rc rc = sld_client_get_json(&a, e->args, object_path(&a, id), &root, err);
        bool gone = rc == SLD_NOT_FOUND;
        if (!rc)
            rc = wait_news(e, &a, until_ns, &index, err);
        sld_arena_fini(&a);
        if (rc == SLD_AGAIN)
            return sld_err_set(err, rc, "the server still has it");
        if (gone || rc)
            return gone ? SLD_OK : rc;
    }
}

enum sld_rc sld_wait_envoys(struct sld_edit *e, uint64_t until_ns, size_t *n, struct sld_err *err)
{
    for (;;) {
        struct sld_arena a = {0};
        struct sld_node *root = NULL;
        enum sld_rc rc = sld_client_get_json(&a, e->args, SLD_STR("/v1/envoys"), &root, err);
        const struct sld_node *list = rc ? NULL : sld_node_get(root, SLD_STR("envoys"));
        size_t behind = 0;
        *n = list ? list->count : 0;
        for (size_t i = 0; i < *n; i++)
            behind += !sld_str_eq(text(list->items[i], "converged"), SLD_STR("true"));
        sld_arena_fini(&a);
        if (rc || !behind)
            return rc;
        if (!left_ms(until_ns))
            return sld_err_set(err, SLD_AGAIN, "%zu of %zu Envoys have not taken it in time", behind,
                               *n);
        struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
        nanosleep(&look, NULL);
    }
}
