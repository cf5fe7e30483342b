#include "source/consul/txn.h"

#include "codec/text.h"

void consul_txn_init(struct consul_txn *t)
{
    sld_buf_init_secret(&t->body, CONSUL_TXN_BODY_MAX_BYTES);
    sld_json_init(&t->json, &t->body);
    sld_json_begin(&t->json, '[');
    t->count = 0;
}

void consul_txn_fini(struct consul_txn *t)
{
    sld_buf_fini(&t->body);
}

bool consul_txn_add(struct consul_txn *t, const char *verb, struct sld_str key, struct sld_str value,
                    bool checked, uint64_t index, struct sld_str session)
{
    struct sld_json *j = &t->json, before = t->json;
    struct sld_arena a = {0};
    size_t n = t->body.n;
    SLD_PRE(t->count < CONSUL_TXN_OPS_MAX);
    sld_json_begin(j, '{');
    sld_json_key(j, "KV");
    sld_json_begin(j, '{');
    sld_json_key(j, "Verb");
    sld_json_str(j, sld_str_c(verb));
    sld_json_key(j, "Key");
    sld_json_str(j, key);
    if (value.p) {
        sld_json_key(j, "Value");
        sld_json_str(j, sld_base64_encode(&a, value));
    }
    if (checked) {
        sld_json_key(j, "Index");
        sld_json_int(j, (int64_t)index);
    }
    if (session.p) {
        sld_json_key(j, "Session");
        sld_json_str(j, session);
    }
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    sld_arena_fini_secret(&a);
    if (t->body.full || t->body.n == t->body.max) { // the closing bracket needs room, too
        t->body.n = n;
        t->body.full = false;
        t->json = before;
        return false;
    }
    t->count++;
    return true;
}

struct sld_consul_query consul_txn_query(struct consul_txn *t)
{
    sld_json_end(&t->json, ']');
    return (struct sld_consul_query){
        .method = SLD_STR("PUT"), .path = SLD_STR("/v1/txn"), .body = sld_buf_str(&t->body)};
}

static void read_result(struct sld_scan *s, struct sld_arena *a, struct consul_txn_answer *out)
{
    struct consul_item i;
    struct sld_str name;
    sld_scan_object(s);
    while (sld_scan_member(s, &name)) {
        if (!sld_str_eq(name, SLD_STR("KV")))
            sld_scan_skip(s);
        else if (consul_item_read(s, a, &i))
            SLD_PUSH(a, out->results, out->result_count, i);
    }
}

static void read_error(struct sld_scan *s, struct sld_arena *a, struct consul_txn_answer *out)
{
    struct consul_txn_error e = {.what = SLD_STR("")};
    struct sld_str name;
    sld_scan_object(s);
    while (sld_scan_member(s, &name)) {
        if (sld_str_eq(name, SLD_STR("OpIndex")))
            e.op = sld_scan_u64(s);
        else if (sld_str_eq(name, SLD_STR("What")))
            e.what = sld_scan_str(s);
        else
            sld_scan_skip(s);
    }
    if (!s->bad)
        SLD_PUSH(a, out->errors, out->error_count, e);
}

bool consul_txn_read(struct sld_arena *a, struct sld_str body, struct consul_txn_answer *out)
{
    struct sld_scan s;
    struct sld_str name;
    *out = (struct consul_txn_answer){0};
    sld_scan_init(&s, body, a);
    sld_scan_object(&s);
    while (sld_scan_member(&s, &name)) {
        bool results = sld_str_eq(name, SLD_STR("Results"));
        if (!results && !sld_str_eq(name, SLD_STR("Errors"))) {
            sld_scan_skip(&s);
            continue;
        }
        sld_scan_array(&s);
        while (sld_scan_item(&s)) {
            if (results)
                read_result(&s, a, out);
            else
                read_error(&s, a, out);
        }
    }
    return sld_scan_end(&s);
}
