// What the tests of the state directory share: a directory, forms and refusals as text.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "source/source.h"
#include "tree.h"

enum { HISTORY = 3, WAIT_MS = 10000 };

struct fixture {
    struct sld_loop *loop;
    struct sld_timer *poll;
    struct sld_state_dir *state;
    struct sld_err warn;
    bool (*want)(struct fixture *f);
    uint64_t deadline;
    ino_t ino;
    const char *needle;
    bool found;
    atomic_bool over;
    // filled by reading back
    size_t count;
    char list[4096];
};

static inline void on_poll(void *user)
{
    struct fixture *f = user;
    if (f->want(f) || sld_mono_ns() > f->deadline)
        sld_loop_stop(f->loop);
    else
        sld_timer_start(f->poll, 2);
}

// Runs the loop until WANT holds.
static inline bool until(struct fixture *f, bool (*want)(struct fixture *f))
{
    f->want = want;
    f->deadline = sld_mono_ns() + WAIT_MS * UINT64_C(1000000);
    sld_timer_start(f->poll, 0);
    sld_loop_run(f->loop);
    return want(f);
}

static inline int setup(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    sld_log_set_level(SLD_LOG_ERROR);
    tree_create();
    f->loop = sld_loop_create("test");
    f->poll = sld_timer_create(f->loop, on_poll, f);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    sld_state_close(f->state);
    sld_timer_destroy(f->poll);
    sld_loop_destroy(f->loop);
    tree_destroy();
    sld_xfree(f);
    return 0;
}

static inline void open_state(struct fixture *f)
{
    struct sld_err err = {0};
    if (sld_state_open(f->loop, sld_str_c(tree_path("state")), HISTORY, &f->state, &f->warn,
                       &err) != SLD_OK)
        fail_msg("%s", err.msg);
}

static inline void close_state(struct fixture *f)
{
    sld_state_close(f->state);
    f->state = NULL;
}

static inline void reopen(struct fixture *f)
{
    close_state(f);
    open_state(f);
}

static inline struct sld_raw *raw_of(enum sld_kind kind, const char *name, const char *text)
{
    struct sld_ident id = {kind, SLD_STR("ns"), sld_str_c(name)};
    struct sld_doc_place place = {.path = SLD_STR("d/a.yaml"), .default_ns = SLD_STR("gloo-system")};
    return sld_raw_create(id, sld_str_c(text), 7, 2, SLD_STR("/etc/solder/d/a.yaml"), &place);
}

static inline void accept(struct fixture *f, const char *name, const char *text)
{
    struct sld_raw *raw = raw_of(SLD_KIND_UPSTREAM, name, text);
    sld_state_accept(f->state, SLD_STR("/etc/solder"), raw);
    SLD_UNREF(raw);
}

static inline void list_add(struct fixture *f, struct sld_raw *raw)
{
    size_t n = strlen(f->list);
    snprintf(f->list + n, sizeof(f->list) - n, "%.*s=%.*s ", SLD_FMT(sld_raw_ident(raw).name),
             SLD_FMT(raw->text));
    f->count++;
}

static inline void on_each(struct sld_str source, struct sld_raw *raw, void *arg)
{
    assert_true(sld_str_eq(source, SLD_STR("/etc/solder")));
    list_add(arg, raw);
}

static inline void on_form(int64_t wall_ms, struct sld_raw *raw, void *arg)
{
    assert_true(wall_ms > 0);
    list_add(arg, raw);
}

static inline const char *list(struct fixture *f)
{
    f->list[0] = 0;
    f->count = 0;
    sld_state_each(f->state, on_each, f);
    return f->list;
}

static inline const char *history(struct fixture *f, const char *name)
{
    f->list[0] = 0;
    f->count = 0;
    sld_state_history(f->state,
                      (struct sld_ident){SLD_KIND_UPSTREAM, SLD_STR("ns"), sld_str_c(name)},
                      on_form, f);
    return f->list;
}

static inline struct sld_str slurp(const char *rel)
{
    static char buf[65536];
    FILE *f = fopen(tree_path(rel), "r");
    if (!f)
        return SLD_STR_NONE;
    size_t n = fread(buf, 1, sizeof(buf), f);
    fclose(f);
    return sld_str_n(buf, n);
}

static inline void spit(const char *rel, const char *p, size_t n)
{
    FILE *f = fopen(tree_path(rel), "w");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

static inline bool exists(const char *rel)
{
    return access(tree_path(rel), F_OK) == 0;
}

// ---- Refusals ----

static inline struct sld_ident ident_of(const char *name)
{
    return (struct sld_ident){SLD_KIND_UPSTREAM, SLD_STR("ns"), sld_str_c(name)};
}

// Refuses the document of NAME whose content is VERSION.
static inline void refuse(struct fixture *f, const char *name, const char *version,
                          const char *words)
{
    sld_state_refuse(f->state, ident_of(name), sld_hash_bytes(sld_str_c(version)), SLD_STR("envoy/1"),
                     sld_str_c(words));
}

static inline void on_refusal(struct sld_ident id, struct sld_hash hash, struct sld_str build,
                              struct sld_str words, void *arg)
{
    assert_true(sld_str_eq(build, SLD_STR("envoy/1")));
    struct fixture *f = arg;
    size_t n = strlen(f->list);
    int version = 1;
    while (version < 9 &&
           !sld_hash_eq(hash, sld_hash_bytes(sld_str_n(&"123456789"[version - 1], 1))))
        version++;
    snprintf(f->list + n, sizeof(f->list) - n, "%s %.*s/%.*s#%d:%.*s ",
             sld_kind_info(id.kind)->plural, SLD_FMT(id.ns), SLD_FMT(id.name), version,
             SLD_FMT(words));
    f->count++;
}

static inline const char *refusals(struct fixture *f)
{
    f->list[0] = 0;
    f->count = 0;
    sld_state_each_refusal(f->state, on_refusal, f);
    return f->list;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
