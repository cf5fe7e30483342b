// A file of many documents, edited again and again: what is read out of the changed documents alone
// is what reading the whole file gives.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "source/intake.h"

static uint64_t rng;

static unsigned rnd(unsigned below)
{
    rng = rng * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(rng >> 33) % below;
}

static void on_object(void *user, struct sld_ident id, struct sld_raw *raw)
{
    (void)user;
    (void)id;
    (void)raw;
}

static void on_problems(void *user)
{
    (void)user;
}

// A document, mostly one of a few upstreams; some cannot be cut off, or are nothing of ours.
static void add_document(struct sld_buf *b)
{
    switch (rnd(12)) {
    case 0:
        sld_buf_addz(b, "kind: Pod\nmetadata: {name: p}\n");
        break;
    case 1:
        sld_buf_addz(b, "# nothing\n");
        break;
    case 2:
        sld_buf_addz(b, "apiVersion: v1\nkind: List\nitems:\n- apiVersion: gloo.solo.io/v1\n"
                        "  kind: Upstream\n  metadata: {name: l}\n");
        break;
    case 3:
        sld_buf_addf(b,
                     "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata:\n  name: s\n"
                     "  annotations:\n    text: |\n      a\n       --- b%u\n",
                     rnd(2));
        break;
    case 4: // no identity
        sld_buf_addz(b, "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: 'A b'}\n");
        break;
    default:
        sld_buf_addf(b,
                     "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: u%u}\n"
                     "spec: {static: {hosts: [{addr: h, port: %u}]}}\n",
                     rnd(6), 1 + rnd(3));
    }
}

static void add_separator(struct sld_buf *b)
{
    static const char *const rare[] = {
        "--- # more\n", "---\t\n", "...\n---\n", "\n---\n\n", "---\n---\n",       "%TAG ! x\n",
        "---\r\n",      "--- |\n", "'---\n",     "----\n",    "\xe2\x80\xa8---\n"};
    sld_buf_addz(b, rnd(12) ? "---\n" : rare[rnd(SLD_ARRAY_LEN(rare))]);
}

static void assert_same(const struct reading *a, const struct reading *b)
{
    assert_int_equal(a->failed, b->failed);
    assert_int_equal(a->blank, b->blank);
    assert_int_equal(a->unterminated, b->unterminated);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->foreign, b->foreign);
    assert_int_equal(a->nameless, b->nameless);
    for (size_t i = 0; i < a->count; i++) {
        const struct said *x = &a->items[i], *y = &b->items[i];
        assert_int_equal(x->id.kind, y->id.kind);
        assert_true(sld_str_eq(x->id.ns, y->id.ns) && sld_str_eq(x->id.name, y->id.name));
        assert_true(sld_str_eq(x->text, y->text));
        assert_int_equal(x->line, y->line);
        assert_int_equal(x->item, y->item);
    }
    assert_int_equal(a->remarks.count, b->remarks.count);
    for (size_t i = 0; i < a->remarks.count; i++) {
        const struct remark *x = &a->remarks.items[i], *y = &b->remarks.items[i];
        assert_int_equal(x->code, y->code);
        assert_int_equal(x->line, y->line);
        assert_int_equal(x->column, y->column);
        assert_string_equal(x->message, y->message);
    }
}

struct text {
    char *parts[12];
    size_t count;
};

static char *part_make(bool separated)
{
    struct sld_buf b;
    sld_buf_init(&b, 65536);
    if (separated)
        add_separator(&b);
    add_document(&b);
    sld_buf_addc(&b, 0);
    return b.p;
}

static void edit(struct text *t)
{
    size_t at = rnd((unsigned)t->count + 1);
    if (at == t->count) {
        if (t->count == SLD_ARRAY_LEN(t->parts))
            return;
        t->parts[t->count] = part_make(t->count > 0);
        t->count++;
        return;
    }
    sld_xfree(t->parts[at]);
    t->parts[at] = NULL;
    if (t->count > 2 && rnd(4) == 0) {
        t->count--;
        t->parts[at] = t->parts[t->count];
        t->parts[t->count] = NULL;
    } else {
        t->parts[at] = part_make(at > 0 || rnd(4) == 0);
    }
}

static struct unit *unit_of(struct sld_intake *in)
{
    struct origin *o = sld_map_get(&in->origins, SLD_STR("src"));
    return sld_set_get(&o->units, SLD_STR("a.yaml"));
}

static void play(struct sld_intake *in)
{
    struct text t = {0};
    for (unsigned step = 0; step < 60; step++) {
        struct sld_buf b;
        sld_buf_init(&b, 1 << 20);
        edit(&t);
        for (size_t i = 0; i < t.count; i++)
            sld_buf_addz(&b, t.parts[i]);
        struct unit *u = unit_of(in);
        if (u) {
            struct unit *blank =
                sld_xcalloc(1, sizeof(*blank) + 1); // none of these documents needs a path
            struct reading by_parts, whole;
            blank->origin = u->origin;
            sld_list_init(&blank->claims);
            reading_init(&by_parts, u, sld_buf_str(&b), NULL, false);
            reading_init(&whole, blank, sld_buf_str(&b), NULL, false);
            assert_same(&by_parts, &whole);
            reading_fini(&by_parts);
            reading_fini(&whole);
            sld_xfree(blank);
        }
        struct sld_blob *bytes = sld_blob_create(sld_buf_str(&b));
        sld_intake_put(in, SLD_STR("src"), SLD_STR("a.yaml"), bytes, true, step + 1);
        SLD_UNREF(bytes);
        sld_buf_fini(&b);
    }
    for (size_t i = 0; i < t.count; i++)
        sld_xfree(t.parts[i]);
}

static void test_parts_equal_the_whole(void **state)
{
    (void)state;
    const char *given = getenv("SLD_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    print_message("SLD_SEED=%llu\n", (unsigned long long)seed);
    rng = seed;
    struct sld_intake_options o;
    sld_intake_options_default(&o);
    struct sld_intake_events ev = {.on_object = on_object, .on_problems = on_problems};
    for (unsigned i = 0; i < 60; i++) {
        struct sld_intake *in = sld_intake_create(&o, &ev);
        sld_intake_source(in, SLD_STR("src"), 0);
        play(in);
        sld_intake_destroy(in);
    }
}

// The others are not read, so their documents come without trees.
static void test_only_what_changed_is_read(void **state)
{
    (void)state;
    static const char head[] =
        "# all\n---\nkind: Upstream\nmetadata: {name: a}\n---\n"
        "kind: Upstream\nmetadata: {name: b}\n---\nkind: Upstream\nmetadata: ";
    struct sld_intake_options o;
    sld_intake_options_default(&o);
    struct sld_intake_events ev = {.on_object = on_object, .on_problems = on_problems};
    struct sld_intake *in = sld_intake_create(&o, &ev);
    sld_intake_source(in, SLD_STR("src"), 0);
    char text[512];
    snprintf(text, sizeof(text), "%s{name: c}\n", head);
    struct sld_blob *bytes = sld_blob_create(sld_str_c(text));
    sld_intake_put(in, SLD_STR("src"), SLD_STR("a.yaml"), bytes, true, 1);
    SLD_UNREF(bytes);
    snprintf(text, sizeof(text), "%s{name: d}\n", head);
    struct reading r;
    reading_init(&r, unit_of(in), sld_str_c(text), NULL, false);
    assert_int_equal(r.count, 3);
    assert_null(r.items[0].node);
    assert_null(r.items[1].node);
    assert_int_equal(r.items[1].line, 5);
    assert_non_null(r.items[2].node);
    assert_int_equal(r.items[2].node->line, 9);
    reading_fini(&r);
    sld_intake_destroy(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_equal_the_whole),
        cmocka_unit_test(test_only_what_changed_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
