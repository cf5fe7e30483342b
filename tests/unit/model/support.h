// What the tests of model share: documents from text, and findings by path.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "model/model.h"

struct fixture {
    struct sld_arena a;
    struct sld_report r;
};

static int setup(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    f->r.arena = &f->a;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sld_arena_fini(&f->a);
    sld_xfree(f);
    return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

// The first document of TEXT.
static inline const struct sld_node *tree(struct fixture *f, const char *text)
{
    struct sld_document *docs;
    size_t n = 0;
    enum sld_code code;
    struct sld_err err = {0};
    enum sld_rc rc =
        sld_doc_read(&f->a, sld_str_c(text), &sld_doc_limits_default, &docs, &n, &code, &err);
    if (rc != SLD_OK)
        fail_msg("%s", err.msg);
    assert_true(n > 0);
    return docs[0].root;
}

static inline const struct sld_finding *found(const struct sld_finding *f, size_t n,
                                              enum sld_code code, const char *path)
{
    for (size_t i = 0; i < n; i++) {
        if (f[i].code == code && sld_str_eq(f[i].path, sld_str_c(path)))
            return &f[i];
    }
    return NULL;
}

// The finding of CODE at PATH, which must be there.
static inline const struct sld_finding *finding(const struct sld_finding *f, size_t n,
                                                enum sld_code code, const char *path)
{
    const struct sld_finding *one = found(f, n, code, path);
    if (one)
        return one;
    for (size_t i = 0; i < n; i++)
        print_message("%s SLD%04d %.*s: %.*s\n", sld_severity_name(f[i].severity), f[i].code,
                      SLD_FMT(f[i].path), SLD_FMT(f[i].message));
    fail_msg("no finding SLD%04d at '%s'", code, path);
    return NULL;
}

static inline bool mentions(struct sld_str s, const char *word)
{
    return sld_str_find(s, sld_str_c(word)) >= 0;
}

#define assert_str(s, c)                                                                           \
    do {                                                                                           \
        struct sld_str s_ = (s);                                                                   \
        assert_non_null(s_.p);                                                                     \
        if (!sld_str_eq(s_, sld_str_c(c)))                                                         \
            fail_msg("'%.*s' is not '%s'", SLD_FMT(s_), (c));                                      \
    } while (0)
