// Services and instances as objects, and from a file.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "source/discovery.h"

static void test_services_are_sets(void **state)
{
    (void)state;
    struct sld_str a[] = {SLD_STR("v2"), SLD_STR("v1"), SLD_STR("v2")},
                   b[] = {SLD_STR("v1"), SLD_STR("v2")}, dc = SLD_STR("dc1");
    struct sld_service *x = sld_service_create(SLD_STR("web"), a, 3, &dc, 1),
                       *y = sld_service_create(SLD_STR("web"), b, 2, &dc, 1),
                       *z = sld_service_create(SLD_STR("web"), &dc, 1, b, 2);
    assert_int_equal(x->tag_count, 2);
    assert_true(sld_str_eq(x->tags[0], SLD_STR("v1")));
    assert_true(sld_hash_eq(x->obj.hash, y->obj.hash));
    assert_false(sld_hash_eq(x->obj.hash, z->obj.hash));
    SLD_UNREF(x);
    SLD_UNREF(y);
    SLD_UNREF(z);
}

static struct sld_instances *set_of(const struct sld_instance *items, size_t n)
{
    struct sld_instances *s = sld_instances_create();
    for (size_t i = 0; i < n; i++)
        sld_instances_add(s, &items[i]);
    sld_instances_seal(s);
    return s;
}

static bool same_labels(const struct sld_label *a, size_t n, const struct sld_label *b, size_t m)
{
    bool same = n == m;
    for (size_t i = 0; same && i < n; i++)
        same = sld_str_eq(a[i].key, b[i].key) && sld_str_eq(a[i].value, b[i].value);
    return same;
}

// What instances have in common is kept once; each still says what it said, and the set takes little
// more than its words.
static void test_instances_share_what_is_the_same(void **state)
{
    (void)state;
    struct sld_str tags[3][2] = {{SLD_STR("a"), SLD_STR("b")},
                                 {SLD_STR("a"), SLD_STR("b")},
                                 {SLD_STR("a"), SLD_STR("c")}};
    struct sld_label meta[3][2] = {{{SLD_STR("k"), SLD_STR("v")}, {SLD_STR("l"), SLD_STR("")}},
                                   {{SLD_STR("k"), SLD_STR("v")}, {SLD_STR("l"), SLD_STR("x")}},
                                   {{SLD_STR("k"), SLD_STR("v")}, {SLD_STR("l"), SLD_STR("x")}}};
    struct sld_instance in[60];
    char text[60][2][32];
    for (size_t i = 0; i < SLD_ARRAY_LEN(in); i++) {
        snprintf(text[i][0], sizeof(text[i][0]), "10.0.0.%zu", 100 + i);
        snprintf(text[i][1], sizeof(text[i][1]), "node-%zu", i / 7);
        in[i] = (struct sld_instance){.address = sld_str_c(text[i][0]),
                                      .port = (uint32_t)(80 + i),
                                      .weight = (uint32_t)i,
                                      .draining = i % 2 == 0,
                                      .datacenter = SLD_STR("dc1"),
                                      .hostname = i % 5 ? SLD_STR_NONE : SLD_STR(""),
                                      .node = sld_str_c(text[i][1]),
                                      .id = sld_str_c(text[i][0]),
                                      .tags = tags[i % 3],
                                      .tag_count = i % 4 ? 2 : 0,
                                      .meta = meta[i % 3],
                                      .meta_count = i % 11 ? 2 : 1,
                                      .node_meta = meta[i / 20],
                                      .node_meta_count = 2};
    }
    struct sld_instances *s = set_of(in, SLD_ARRAY_LEN(in));
    assert_int_equal(s->count, SLD_ARRAY_LEN(in));
    struct sld_arena arena = {0};
    const struct sld_instance *items = sld_instances_items(&arena, s);
    for (size_t i = 0; i < s->count; i++) {
        const struct sld_instance *a = &items[i], *b = &in[i];
        assert_true(sld_str_eq(a->address, b->address) && sld_str_eq(a->id, b->id));
        assert_true(sld_str_eq(a->datacenter, b->datacenter) && sld_str_eq(a->node, b->node));
        assert_int_equal(a->hostname.p != NULL, b->hostname.p != NULL);
        assert_true(a->port == b->port && a->weight == b->weight && a->draining == b->draining);
        assert_int_equal(a->tag_count, b->tag_count);
        for (size_t k = 0; k < a->tag_count; k++)
            assert_true(sld_str_eq(a->tags[k], b->tags[k]));
        assert_true(same_labels(a->meta, a->meta_count, b->meta, b->meta_count));
        assert_true(
            same_labels(a->node_meta, a->node_meta_count, b->node_meta, b->node_meta_count));
    }
    assert_ptr_equal(items[1].datacenter.p, items[59].datacenter.p);
    assert_ptr_equal(items[0].node_meta, items[19].node_meta);
    assert_true(s->bytes < s->count * 60);
    assert_true(sld_instances_have_node(s, SLD_STR("node-8")));
    assert_false(sld_instances_have_node(s, SLD_STR("node-9")));
    assert_false(sld_instances_have_node(s, SLD_STR("node-"))); // a part of one is none
    assert_false(sld_instances_have_node(s, SLD_STR("10.0.0.100"))); // nor is an id
    sld_arena_fini(&arena);
    SLD_UNREF(s);
}

// Equal sets have equal hashes whatever their order was; every field makes a difference.
static void test_instances_have_content(void **state)
{
    (void)state;
    struct sld_str tags[] = {SLD_STR("b"), SLD_STR("a")}, sorted[] = {SLD_STR("a"), SLD_STR("b")};
    struct sld_label meta = {SLD_STR("k"), SLD_STR("v")}, other = {SLD_STR("k"), SLD_STR("w")};
    struct sld_instance one = {.address = SLD_STR("10.0.0.1"), .port = 80},
                        two = {.address = SLD_STR("10.0.0.2"),
                               .port = 80,
                               .tags = tags,
                               .tag_count = 2};
    struct sld_instance ab[] = {one, two}, ba[] = {two, one};
    ba[0].tags = sorted;
    struct sld_instances *x = set_of(ab, 2), *y = set_of(ba, 2);
    assert_int_equal(x->count, 2);
    assert_true(sld_hash_eq(x->obj.hash, y->obj.hash));
    struct sld_instance here = one, there = one;
    here.datacenter = SLD_STR("dc1");
    there.datacenter = SLD_STR("dc2");
    struct sld_instance both[] = {here, there}, turned[] = {there, here};
    struct sld_instances *v = set_of(both, 2), *w = set_of(turned, 2);
    assert_true(sld_hash_eq(v->obj.hash, w->obj.hash));
    SLD_UNREF(v);
    SLD_UNREF(w);
    struct sld_instance changed[] = {one, one, one, one, one, one, one, one, one, one, one, one};
    changed[1].port = 81;
    changed[2].weight = 2;
    changed[3].draining = true;
    changed[4].hostname = SLD_STR("h");
    changed[5].datacenter = SLD_STR("h");
    changed[6].node = SLD_STR("h");
    changed[7].id = SLD_STR("h");
    changed[8].tags = tags, changed[8].tag_count = 1;
    changed[9].meta = &meta, changed[9].meta_count = 1;
    changed[10].meta = &other, changed[10].meta_count = 1;
    changed[11].node_meta = &meta, changed[11].node_meta_count = 1;
    struct sld_instances *sets[SLD_ARRAY_LEN(changed)];
    for (size_t i = 0; i < SLD_ARRAY_LEN(changed); i++) {
        sets[i] = set_of(&changed[i], 1);
        for (size_t k = 0; k < i; k++) {
            if (sld_hash_eq(sets[i]->obj.hash, sets[k]->obj.hash))
                fail_msg("%zu and %zu count as equal", i, k);
        }
    }
    for (size_t i = 0; i < SLD_ARRAY_LEN(changed); i++)
        SLD_UNREF(sets[i]);
    SLD_UNREF(x);
    SLD_UNREF(y);
}

static void test_unusable_instances_are_left_out(void **state)
{
    (void)state;
    struct sld_instances *s = sld_instances_create();
    assert_false(
        sld_instances_add(s, &(struct sld_instance){.address = SLD_STR("a.b"), .port = 1}));
    assert_false(sld_instances_add(s, &(struct sld_instance){.address = SLD_STR("::1")}));
    assert_false(
        sld_instances_add(s, &(struct sld_instance){.address = SLD_STR("::1"), .port = 65536}));
    assert_true(
        sld_instances_add(s, &(struct sld_instance){.address = SLD_STR("::1"), .port = 65535}));
    sld_instances_seal(s);
    assert_int_equal(s->count, 1);
    SLD_UNREF(s);
}

// ---- Files ----

struct seen {
    char text[1024];
    size_t n;
};

static void add(struct seen *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    s->n += (size_t)vsnprintf(s->text + s->n, sizeof(s->text) - s->n, fmt, ap);
    va_end(ap);
}

static void on_service(void *user, struct sld_str name, struct sld_service *s)
{
    add(user, "%.*s", SLD_FMT(name));
    for (size_t i = 0; i < s->tag_count; i++)
        add(user, " %.*s", SLD_FMT(s->tags[i]));
    for (size_t i = 0; i < s->datacenter_count; i++)
        add(user, " @%.*s", SLD_FMT(s->datacenters[i]));
    add(user, "\n");
}

static void on_instances(void *user, struct sld_str service, struct sld_instances *set, bool past)
{
    (void)service;
    assert_false(past);
    struct sld_arena a = {0};
    const struct sld_instance *items = sld_instances_items(&a, set);
    for (size_t i = 0; i < set->count; i++)
        add(user, "  %.*s:%u w%u%s %zu %zu\n", SLD_FMT(items[i].address), items[i].port,
            items[i].weight, items[i].draining ? " ends" : "", items[i].meta_count,
            items[i].node_meta_count);
    sld_arena_fini(&a);
}

static void on_synced(void *user)
{
    add(user, "synced\n");
}

static enum sld_rc read_file(const char *text, struct seen *seen, struct sld_err *err)
{
    char path[] = "/tmp/solder-services-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    struct sld_discovery_events ev = {
        .on_service = on_service, .on_instances = on_instances, .on_synced = on_synced, .user = seen};
    enum sld_rc rc = sld_discovery_read(sld_str_c(path), &ev, err);
    unlink(path);
    return rc;
}

static void test_file(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct sld_err err = {0};
    assert_int_equal(
        read_file("services:\n"
                  "- name: web\n"
                  "  tags: [extra]\n"
                  "  instances:\n"
                  "  - {address: 10.0.0.2, port: 80, tags: [v1], weight: 3, meta: {a: b}}\n"
                  "  - {address: 10.0.0.1, port: 80, draining: true, dataCenter: dc2,\n"
                  "     nodeMeta: {a: b, c: d}}\n"
                  "- name: none\n"
                  "  dataCenters: [dc3]\n",
                  &seen, &err),
        SLD_OK);
    assert_string_equal(seen.text, "web extra v1 @dc1 @dc2\n"
                                   "  10.0.0.1:80 w0 ends 0 2\n"
                                   "  10.0.0.2:80 w3 1 0\n"
                                   "none @dc3\n"
                                   "synced\n");
}

static void test_mistakes_in_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place, *words;
    } cases[] = {
        {"services: [", ":1:", ""},
        {"services:\n- name: web\n  instnces: []\n", ":3:3: services[0].instnces", "unknown"},
        {"services:\n- instances: []\n", ":2:3: services[0].name", ""},
        {"services:\n- name: a\n  instances:\n  - {address: a.b, port: 1}\n",
         ":4:6: services[0].instances[0].address", "IPv4"},
        {"services:\n- name: a\n  instances:\n  - {address: 1.2.3.4, port: 0}\n",
         ": services[0].instances[0].port", ""},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        struct seen seen = {0};
        struct sld_err err = {0};
        assert_int_equal(read_file(cases[i].text, &seen, &err), SLD_INVALID);
        if (!strstr(err.msg, cases[i].place) || !strstr(err.msg, cases[i].words))
            fail_msg("%s", err.msg);
        assert_string_equal(seen.text, "");
    }
    struct seen seen = {0};
    struct sld_err err = {0};
    struct sld_discovery_events ev = {
        .on_service = on_service, .on_instances = on_instances, .on_synced = on_synced, .user = &seen};
    assert_int_equal(sld_discovery_read(SLD_STR("/nonexistent"), &ev, &err), SLD_IO);
    assert_int_equal(sld_discovery_read(SLD_STR("/dev"), &ev, &err), SLD_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_services_are_sets),
        cmocka_unit_test(test_instances_share_what_is_the_same),
        cmocka_unit_test(test_instances_have_content),
        cmocka_unit_test(test_unusable_instances_are_left_out),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_mistakes_in_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
