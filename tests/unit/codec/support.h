// What the tests of codec share: reading text into test messages, printing them, and findings.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/doc.h"

#include "test.pb-c.h"

struct fixture {
    struct sld_arena a;
    struct sld_report r;
    struct sld_err err;
    enum sld_code code;
    struct sld_document *docs;
    size_t n;
};

static inline int setup(void **state)
{
    struct fixture *f = sld_xcalloc(1, sizeof(*f));
    f->r.arena = &f->a;
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    sld_arena_fini(&f->a);
    sld_xfree(f);
    return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static inline enum sld_rc read_limited(struct fixture *f, struct sld_str text,
                                       struct sld_doc_limits limits)
{
    return sld_doc_read(&f->a, text, &limits, &f->docs, &f->n, &f->code, &f->err);
}

static inline enum sld_rc read_text(struct fixture *f, struct sld_str text)
{
    return read_limited(f, text, sld_doc_limits_default);
}

// The one document of TEXT, decoded; findings are in f->r.
static inline void *decode_as(struct fixture *f, const ProtobufCMessageDescriptor *desc,
                              const char *text, bool lenient)
{
    if (read_text(f, sld_str_c(text)) != SLD_OK)
        fail_msg("%d:%d: %s", f->err.line, f->err.column, f->err.msg);
    assert_int_equal(f->n, 1);
    f->r = (struct sld_report){.arena = &f->a};
    return sld_doc_decode(&f->a, desc, f->docs[0].root, lenient, &f->r);
}

#define DECODE(f, t, text) decode_as((f), &sldtest__##t##__descriptor, (text), false)

static inline const char *print(struct fixture *f, const void *m, enum sld_text_style style,
                                bool redact)
{
    struct sld_buf out;
    sld_buf_init(&out, 1 << 24);
    sld_doc_print(&out, m, style, redact);
    const char *s = sld_arena_cstr(&f->a, sld_buf_str(&out));
    sld_buf_fini(&out);
    return s;
}

static inline const char *json(struct fixture *f, const void *m)
{
    return print(f, m, SLD_TEXT_JSON_COMPACT, false);
}

// TEXT decodes without findings and prints as EXPECTED.
#define ASSERT_JSON(f, t, text, expected)                                                          \
    do {                                                                                           \
        void *m_ = DECODE(f, t, text);                                                             \
        assert_clean(f);                                                                           \
        assert_string_equal(json(f, m_), expected);                                                \
    } while (0)

static inline void assert_clean(struct fixture *f)
{
    if (f->r.count)
        fail_msg("%.*s: %.*s", SLD_FMT(f->r.items[0].path), SLD_FMT(f->r.items[0].message));
}

// Finding I has this code and path, and these words in its message.
static inline void assert_finding(struct fixture *f, size_t i, enum sld_code code, const char *path,
                                  const char *words)
{
    if (f->r.count <= i)
        fail_msg("there is no finding %zu", i);
    const struct sld_finding *x = &f->r.items[i];
    const char *got_path = sld_arena_cstr(&f->a, x->path), *got = sld_arena_cstr(&f->a, x->message);
    if (x->code != code || strcmp(got_path, path) != 0 || !strstr(got, words))
        fail_msg("finding %zu is %d %s: %s", i, (int)x->code, got_path, got);
}
