// Raw documents and the objects decoded from them.
#include "support.h"

#include "secret.pb-c.h"
#include "settings.pb-c.h"
#include "upstream.pb-c.h"

// Memory that was overwritten on purpose: what sld_wipe calls is watched.
static struct sld_buf wiped;

static void watch(void *p, size_t n)
{
    if (wiped.max)
        sld_buf_add(&wiped, sld_str_n(p, n));
    volatile unsigned char *bytes = p;
    for (size_t i = 0; i < n; i++)
        bytes[i] = 0;
}

// These stand for the C library's explicit_bzero in this program.
void on_wipe(void *p, size_t n) __asm__("explicit_bzero");
void on_wipe_checked(void *p, size_t n, size_t room) __asm__("__explicit_bzero_chk");

void on_wipe(void *p, size_t n)
{
    watch(p, n);
}

void on_wipe_checked(void *p, size_t n, size_t room)
{
    (void)room;
    watch(p, n);
}

static struct sld_raw *raw_at(enum sld_kind kind, const char *text, int line, long item)
{
    struct sld_ident id = {kind, SLD_STR("ns"), SLD_STR("a")};
    struct sld_doc_place place = {.path = SLD_STR("d/a.yaml"), .default_ns = SLD_STR("gloo-system")};
    return sld_raw_create(id, sld_str_c(text), line, item, SLD_STR("/etc/d/a.yaml"), &place);
}

static struct sld_raw *raw_of(enum sld_kind kind, const char *text)
{
    return raw_at(kind, text, 1, -1);
}

static struct sld_object *object_of(enum sld_kind kind, const char *text)
{
    struct sld_raw *raw = raw_of(kind, text);
    struct sld_object *o = sld_object_decode(raw, NULL);
    SLD_UNREF(raw);
    return o;
}

#define US "metadata: {name: a, labels: {b: '1', a: '2'}}\nstatic: {hosts: [{addr: h, port: 1}]}\n"

// ---- Raw documents ----

static void test_everything_is_copied(void **state)
{
    (void)state;
    char text[] = "text", origin[] = "origin";
    struct sld_ident id = {SLD_KIND_UPSTREAM, SLD_STR("ns"), SLD_STR("n")};
    struct sld_doc_place place = {.path = SLD_STR("path"), .default_ns = SLD_STR("def")};
    struct sld_raw *raw = sld_raw_create(id, sld_str_c(text), 7, 2, sld_str_c(origin), &place);
    memset(text, 'x', 4);
    memset(origin, 'x', 6);
    assert_str(raw->text, "text");
    assert_str(sld_raw_origin(raw), "origin");
    assert_str(sld_raw_path(raw), "path");
    assert_str(sld_raw_default_ns(raw), "def");
    assert_str(sld_raw_ident(raw).ns, "ns");
    assert_str(sld_raw_ident(raw).name, "n");
    assert_int_equal(raw->line, 7);
    assert_int_equal(raw->item, 2);
    assert_false(raw->secret);
    SLD_UNREF(raw);
}

static void test_hash_is_of_text_and_place(void **state)
{
    (void)state;
    struct sld_raw *all[] = {
        raw_at(SLD_KIND_UPSTREAM, "a", 1, -1), raw_at(SLD_KIND_UPSTREAM, "b", 1, -1),
        raw_at(SLD_KIND_UPSTREAM, "a", 2, -1), raw_at(SLD_KIND_UPSTREAM, "a", 1, 0),
        raw_at(SLD_KIND_PROXY, "a", 1, -1)};
    struct sld_raw *same = raw_at(SLD_KIND_UPSTREAM, "a", 1, -1);
    assert_true(sld_hash_eq(all[0]->obj.hash, same->obj.hash));
    SLD_UNREF(same);
    for (size_t i = 0; i < SLD_ARRAY_LEN(all); i++) {
        for (size_t k = 0; k < i; k++)
            assert_false(sld_hash_eq(all[i]->obj.hash, all[k]->obj.hash));
    }
    for (size_t i = 0; i < SLD_ARRAY_LEN(all); i++)
        SLD_UNREF(all[i]);
}

static void test_decode_picks_the_item(void **state)
{
    struct fixture *f = *state;
    struct sld_raw *raw = raw_at(SLD_KIND_UPSTREAM,
                                 "kind: List\nitems:\n- {kind: Upstream, metadata: {name: x}}\n"
                                 "- kind: Upstream\n  metadata: {name: a}\n"
                                 "  spec: {pipe: {path: /run/x}}\n",
                                 1, 1);
    const Gloo__Upstream *us = sld_raw_decode(&f->a, raw, NULL, &f->r);
    assert_string_equal(us->pipe->path, "/run/x");
    assert_int_equal(f->r.count, 0);
    SLD_UNREF(raw);
}

static void test_text_that_cannot_be_read(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {"{{\n", "", "# nothing\n", "kind: List\nitems: [{}]\n"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(texts); i++) {
        struct sld_raw *raw = raw_at(SLD_KIND_UPSTREAM, texts[i], 5, i == 3 ? 7 : -1);
        f->r = (struct sld_report){.arena = &f->a};
        const Gloo__Upstream *us = sld_raw_decode(&f->a, raw, NULL, &f->r);
        assert_string_equal(us->metadata->name, "a");
        assert_int_equal(f->r.count, 1);
        assert_int_equal(f->r.items[0].code, SLD_YAML_SYNTAX);
        sld_raw_locate(raw, &f->r.items[0]);
        assert_int_equal(f->r.items[0].line, 5);
        assert_int_equal(f->r.items[0].column, 1);
        SLD_UNREF(raw);
    }
}

// ---- Places ----

struct place {
    const char *path;
    int line, column;
};

static void check_places(const struct sld_raw *raw, const struct place *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct sld_finding f = {.path = sld_str_c(p[i].path)};
        sld_raw_locate(raw, &f);
        assert_str(f.origin, "/etc/d/a.yaml");
        if (f.line != p[i].line || f.column != p[i].column)
            fail_msg("%s is at %d:%d, expected %d:%d", p[i].path, f.line, f.column, p[i].line,
                     p[i].column);
    }
}

static void test_places_in_both_forms(void **state)
{
    (void)state;
    struct sld_raw *raw = raw_at(SLD_KIND_UPSTREAM,
                                 "kind: Upstream\n"
                                 "metadata:\n"
                                 "  name: a\n"
                                 "spec:\n"
                                 "  use_http2: true\n"
                                 "  static:\n"
                                 "    hosts:\n"
                                 "    - addr: x\n"
                                 "      port: 1\n"
                                 "status: {}\n"
                                 "zebra: 1\n",
                                 10, -1);
    const struct place places[] = {
        {"", 10, 1},
        {"metadata.name", 12, 3},
        {"metadata.labels", 11, 1},
        {"useHttp2", 14, 3},
        {"static.hosts[0].port", 18, 7},
        {"static.hosts[0].sniAddr", 17, 7},
        {"spec", 13, 1},
        {"zebra", 20, 1},
    };
    check_places(raw, places, SLD_ARRAY_LEN(places));
    SLD_UNREF(raw);
    raw = raw_at(SLD_KIND_UPSTREAM, "metadata: {name: a}\nstatic:\n  hosts: []\n", 3, -1);
    const struct place flat[] = {{"static.hosts", 5, 3}, {"static.hosts[4].addr", 5, 3}};
    check_places(raw, flat, SLD_ARRAY_LEN(flat));
    SLD_UNREF(raw);
}

static void test_places_in_lists_and_secrets(void **state)
{
    (void)state;
    struct sld_raw *raw = raw_at(SLD_KIND_UPSTREAM,
                                 "kind: List\nitems:\n- kind: Upstream\n- kind: Upstream\n"
                                 "  metadata: {name: a}\n  spec:\n    useHttp2: x\n",
                                 1, 1);
    const struct place item[] = {{"useHttp2", 7, 5}, {"", 4, 3}};
    check_places(raw, item, SLD_ARRAY_LEN(item));
    SLD_UNREF(raw);
    raw = raw_at(SLD_KIND_SECRET,
                 "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: a}\n"
                 "data:\n  tls.crt: YQ==\n  tls.key: YQ==\n",
                 1, -1);
    const struct place tls[] = {{"tls.privateKey", 7, 3}, {"tls.certChain", 6, 3}};
    check_places(raw, tls, SLD_ARRAY_LEN(tls));
    SLD_UNREF(raw);
}

static void test_places_that_are_known_stay(void **state)
{
    (void)state;
    struct sld_raw *raw = raw_of(SLD_KIND_UPSTREAM, US);
    struct sld_finding f[] = {
        {.path = SLD_STR("static"), .line = 77, .column = 3},
        {.path = SLD_STR("static"), .origin = SLD_STR("other.yaml")},
        {.path = SLD_STR("static")},
    };
    sld_raw_locate_all(raw, f, SLD_ARRAY_LEN(f));
    assert_int_equal(f[0].line, 77);
    assert_str(f[0].origin, "/etc/d/a.yaml");
    assert_int_equal(f[1].line, 0);
    assert_str(f[1].origin, "other.yaml");
    assert_int_equal(f[2].line, 2);
    SLD_UNREF(raw);
}

// ---- Objects ----

static void test_settings_without_their_secrets(void **state)
{
    struct fixture *f = *state;
    struct sld_raw *raw = raw_at(SLD_KIND_SETTINGS,
                                 "metadata: {name: a, namespace: ns}\nrefreshRate: 5s\nconsul: {token: hunter2, password: hunter3, datacenter: d}\n"
                                 "secretOptions: {sources: [{vault: {accessToken: hunter4, address: 'http://v:1'}}, "
                                 "{vault: {aws: {vaultRole: r, accessKeyId: hunter5, secretAccessKey: hunter6}}}]}\n",
                                 1, -1),
                   *kept = sld_raw_without_secrets(raw), *again;
    assert_true(sld_str_find(kept->text, SLD_STR("hunter")) < 0);
    assert_true(sld_str_eq(sld_raw_origin(kept), sld_raw_origin(raw)) && sld_str_eq(sld_raw_path(kept), sld_raw_path(raw)));
    const Gloo__Settings *s = sld_raw_decode(&f->a, kept, NULL, &f->r);
    assert_int_equal(f->r.errors, 0);
    assert_int_equal(s->refresh_rate->seconds, 5);
    assert_string_equal(s->consul->datacenter, "d");
    assert_string_equal(s->secret_options->sources[0]->vault->address, "http://v:1");
    assert_string_equal(s->secret_options->sources[1]->vault->aws->vault_role, "r");
    again = sld_raw_without_secrets(kept);
    assert_ptr_equal(again, kept);
    SLD_UNREF(again);
    SLD_UNREF(kept);
    SLD_UNREF(raw);
}

static void test_object(void **state)
{
    (void)state;
    struct sld_raw *raw = raw_of(SLD_KIND_UPSTREAM, US);
    struct sld_object *o = sld_object_decode(raw, NULL);
    const Gloo__Upstream *us = sld_object_msg(o);
    assert_true(o->ok);
    assert_int_equal(o->finding_count, 0);
    assert_int_equal(o->id.kind, SLD_KIND_UPSTREAM);
    assert_str(o->id.name, "a");
    assert_ptr_equal(sld_object_meta(o), us->metadata);
    assert_ptr_equal(o->raw, raw);
    assert_string_equal(us->static_->hosts[0]->addr, "h");
    SLD_UNREF(raw);
    assert_str(o->id.ns, "ns"); // lives with the object
    assert_str(sld_raw_path(o->raw), "d/a.yaml");
    SLD_UNREF(o);
    assert_null(o);
}

static void test_object_with_findings(void **state)
{
    (void)state;
    struct sld_object *o = object_of(SLD_KIND_UPSTREAM, US "dnsRefreshRate: 1s\n");
    assert_true(o->ok);
    assert_int_equal(o->warnings, 1);
    finding(o->findings, o->finding_count, SLD_FIELD_NOT_BUILT, "dnsRefreshRate");
    SLD_UNREF(o);
    o = object_of(SLD_KIND_UPSTREAM, US "nope: 1\n");
    assert_false(o->ok);
    assert_int_equal(o->errors, 1);
    SLD_UNREF(o);
    o = object_of(SLD_KIND_UPSTREAM, "{{");
    assert_false(o->ok);
    assert_non_null(sld_object_msg(o));
    SLD_UNREF(o);
}

static struct sld_object *lean_of(enum sld_kind kind, const char *text)
{
    struct sld_raw *raw = raw_of(kind, text);
    struct sld_object *o = sld_object_decode_lean(raw, NULL);
    SLD_UNREF(raw);
    return o;
}

// A message that slept says the same.
static void test_lean_object(void **state)
{
    (void)state;
    struct sld_object *o = lean_of(SLD_KIND_UPSTREAM, US), *twin = object_of(SLD_KIND_UPSTREAM, US);
    assert_true(sld_hash_eq(o->obj.hash, twin->obj.hash));
    for (unsigned i = 0; i < 3; i++) {
        assert_true(sld_msg_equal(sld_object_msg(o), sld_object_msg(twin)));
        assert_ptr_equal(sld_object_msg(o), sld_object_msg(o)); // awake
        assert_int_equal(sld_object_meta(o)->n_labels, 2);
        sld_objects_rest();
        assert_null(o->msg);
    }
    SLD_UNREF(twin);
    struct sld_object *bad = lean_of(SLD_KIND_UPSTREAM, US "nope: 1\n");
    finding(bad->findings, bad->finding_count, SLD_FIELD_UNKNOWN, "nope");
    sld_objects_rest();
    assert_string_equal(((const Gloo__Upstream *)sld_object_msg(bad))->static_->hosts[0]->addr, "h");
    SLD_UNREF(bad); // freed while it is awake
    assert_non_null(sld_object_msg(o));
    SLD_UNREF(o);
    sld_objects_rest();
}

// Some go while others are awake, and those still sleep in the end.
static void test_who_goes_while_others_are_awake(void **state)
{
    (void)state;
    struct sld_object *o[4];
    for (size_t i = 0; i < SLD_ARRAY_LEN(o); i++)
        o[i] = lean_of(SLD_KIND_UPSTREAM, US);
    SLD_UNREF(o[0]);
    SLD_UNREF(o[3]);
    assert_non_null(o[1]->msg);
    assert_non_null(o[2]->msg);
    SLD_UNREF(o[2]);
    sld_objects_rest();
    assert_null(o[1]->msg);
    assert_non_null(sld_object_msg(o[1]));
    SLD_UNREF(o[1]);
    sld_objects_rest();
}

static void check_more(void *user, struct sld_ident id, const void *msg, struct sld_report *r)
{
    const Gloo__Upstream *us = msg;
    assert_str(id.name, "a");
    assert_string_equal(us->metadata->name, "a");
    sld_report_add(r, SLD_ERROR, SLD_US_HOST, SLD_STR("static"), "%s", (const char *)user);
}

// What nobody wrote says what a document of it would, which is written for who asks.
static void test_what_nobody_wrote(void **state)
{
    (void)state;
    struct sld_ident id = {SLD_KIND_UPSTREAM, SLD_STR("ns"), SLD_STR("a")};
    struct sld_object *twin = object_of(SLD_KIND_UPSTREAM, US);
    struct sld_arena a = {0};
    ProtobufCMessage *msg = sld_msg_copy(&a, sld_object_msg(twin));
    struct sld_object *o =
        sld_object_create_unwritten(id, msg, SLD_STR("consul:a-b"), &(struct sld_object_checks){0});
    sld_arena_fini(&a);
    assert_true(sld_hash_eq(o->obj.hash, twin->obj.hash));
    assert_str(o->id.name, "a");
    for (unsigned i = 0; i < 2; i++) {
        assert_null(o->raw);
        assert_true(sld_msg_equal(sld_object_msg(o), sld_object_msg(twin)));
        struct sld_raw *raw = sld_object_raw(o);
        assert_str(sld_raw_origin(raw), "consul:a-b");
        assert_str(sld_raw_path(raw), "a-b");
        struct sld_object *again = sld_object_decode(raw, NULL);
        assert_true(sld_hash_eq(again->obj.hash, o->obj.hash));
        SLD_UNREF(again);
        sld_objects_rest();
    }
    assert_non_null(sld_object_raw(o));
    SLD_UNREF(o); // freed while it is awake
    sld_objects_rest();
    assert_ptr_equal(sld_object_raw(twin), twin->raw);
    SLD_UNREF(twin);
}

// What is wrong with it is found as in a document.
static void test_what_nobody_wrote_is_checked(void **state)
{
    (void)state;
    char words[] = "too far away";
    struct sld_ident id = {SLD_KIND_UPSTREAM, SLD_STR("ns"), SLD_STR("a")};
    struct sld_object *twin = object_of(SLD_KIND_UPSTREAM, US);
    struct sld_arena a = {0};
    Gloo__Upstream *msg = (Gloo__Upstream *)sld_msg_copy(&a, sld_object_msg(twin));
    msg->static_->hosts[0]->port = 70000;
    struct sld_object *o = sld_object_create_unwritten(
        id, &msg->base, SLD_STR("consul:a"), &(struct sld_object_checks){.check = check_more, .user = words});
    sld_arena_fini(&a);
    assert_false(o->ok);
    assert_int_equal(o->errors, 2);
    finding(o->findings, o->finding_count, SLD_US_HOST, "static");
    finding(o->findings, o->finding_count, SLD_FIELD_RANGE, "static.hosts[0].port");
    SLD_UNREF(o);
    SLD_UNREF(twin);
}

// Others keep pointers into gateways, and secrets are wiped with their object.
static void test_lean_object_that_never_sleeps(void **state)
{
    (void)state;
    struct sld_object *all[] = {lean_of(SLD_KIND_GATEWAY, "bindPort: 8080\n"),
                                lean_of(SLD_KIND_SECRET, "tls: {certChain: a, privateKey: b}\n")};
    for (size_t i = 0; i < SLD_ARRAY_LEN(all); i++) {
        const void *msg = sld_object_msg(all[i]);
        sld_objects_rest();
        assert_ptr_equal(all[i]->msg, msg);
        SLD_UNREF(all[i]);
    }
}

static void test_findings_of_a_further_check_belong_to_the_object(void **state)
{
    (void)state;
    char words[] = "too far away";
    struct sld_raw *raw = raw_of(SLD_KIND_UPSTREAM, US);
    struct sld_object *plain = sld_object_decode(raw, NULL);
    struct sld_object *o = sld_object_decode(
        raw, &(struct sld_object_checks){.check = check_more, .user = words});
    SLD_UNREF(raw);
    memset(words, 'x', 3);
    assert_false(o->ok);
    assert_str(finding(o->findings, o->finding_count, SLD_US_HOST, "static")->message,
               "too far away");
    assert_false(sld_hash_eq(o->obj.hash, plain->obj.hash));
    SLD_UNREF(plain);
    SLD_UNREF(o);
}

static void test_objects_hash_by_content_not_place(void **state)
{
    (void)state;
    static const struct {
        bool same;
        const char *text;
    } cases[] = {
        {true, US},
        {true, "# moved\n" US},
        {true, "kind: Upstream\nmetadata:\n  labels: {a: '2', b: '1'}\n  resourceVersion: '9'\n"
               "spec: {static: {hosts: [{port: 1, addr: h}]}}\nstatus: {x: y}\n"},
        {false, US "useHttp2: true\n"},
        {false, US "nope: 1\n"}, // the same message, another finding
        {false, US "nopf: 1\n"},
        {false, US "useHttp2: x\n"},
        {false, US "useHttp2: y\n"}, // the same code and path, other words
        {false, "metadata: {name: a}\nstatic: {hosts: [{addr: h, port: 1}]}\n"},
    };
    struct sld_object *first = object_of(SLD_KIND_UPSTREAM, US), *last = NULL;
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        struct sld_object *o = object_of(SLD_KIND_UPSTREAM, cases[i].text);
        if (sld_hash_eq(o->obj.hash, first->obj.hash) != cases[i].same)
            fail_msg("case %zu", i);
        if (last && !cases[i].same)
            assert_false(sld_hash_eq(o->obj.hash, last->obj.hash));
        SLD_UNREF(last);
        last = o;
    }
    struct sld_raw *moved = raw_at(SLD_KIND_UPSTREAM, US, 99, -1);
    struct sld_object *o = sld_object_decode(moved, NULL);
    assert_true(sld_hash_eq(o->obj.hash, first->obj.hash));
    SLD_UNREF(moved);
    SLD_UNREF(o);
    SLD_UNREF(last);
    SLD_UNREF(first);
}

static void test_one_document_of_a_thousand_findings(void **state)
{
    (void)state;
    struct sld_buf b;
    sld_buf_init(&b, 1 << 20);
    sld_buf_addz(&b, US);
    for (int i = 0; i < 1000; i++)
        sld_buf_addf(&b, "wrong%d: 1\n", i);
    sld_buf_addc(&b, 0);
    struct sld_object *o = object_of(SLD_KIND_UPSTREAM, b.p);
    assert_int_equal(o->finding_count, SLD_REPORT_MAX);
    assert_int_equal(o->errors, 1000);
    SLD_UNREF(o);
    o = object_of(SLD_KIND_SECRET, b.p);
    assert_int_equal(o->finding_count, SLD_REPORT_MAX);
    assert_true(o->errors >= 1000);
    SLD_UNREF(o);
    sld_buf_fini(&b);
}

// ---- Wiping ----

static size_t times_wiped(const char *word)
{
    struct sld_str s = sld_buf_str(&wiped);
    size_t n = 0;
    for (ptrdiff_t at; s.p && (at = sld_str_find(s, sld_str_c(word))) >= 0; n++)
        s = sld_str_sub(s, (size_t)at + 1, s.n);
    return n;
}

static void test_secrets_are_wiped(void **state)
{
    (void)state;
    struct sld_raw *raw = raw_of(SLD_KIND_SECRET, "metadata: {name: a}\ntls: {privateKey: "
                                                  "hunter2}\n");
    assert_true(raw->secret);
    sld_buf_init(&wiped, 1 << 20);
    struct sld_object *o = sld_object_decode(raw, NULL);
    size_t scratch = times_wiped("hunter2");
    assert_true(scratch > 0); // the tree
    SLD_UNREF(raw);
    assert_int_equal(times_wiped("hunter2"), scratch);
    SLD_UNREF(o);
    assert_int_equal(times_wiped("hunter2"), scratch + 2); // the message, the raw text
    sld_buf_reset(&wiped);
    o = object_of(SLD_KIND_UPSTREAM, US);
    SLD_UNREF(o);
    assert_int_equal(times_wiped("static"), 0);
    sld_buf_fini(&wiped);
    wiped = (struct sld_buf){0};
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_everything_is_copied),
        T(test_hash_is_of_text_and_place),
        T(test_decode_picks_the_item),
        T(test_text_that_cannot_be_read),
        T(test_places_in_both_forms),
        T(test_places_in_lists_and_secrets),
        T(test_places_that_are_known_stay),
        T(test_settings_without_their_secrets),
        T(test_object),
        T(test_object_with_findings),
        T(test_who_goes_while_others_are_awake),
        T(test_lean_object),
        T(test_lean_object_that_never_sleeps),
        T(test_what_nobody_wrote),
        T(test_what_nobody_wrote_is_checked),
        T(test_findings_of_a_further_check_belong_to_the_object),
        T(test_objects_hash_by_content_not_place),
        T(test_one_document_of_a_thousand_findings),
        T(test_secrets_are_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
