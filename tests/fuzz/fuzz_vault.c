// Any bytes as an answer of Vault: what it means, and what Secret document comes of it. Only 404 with
// Vault's words says that nothing is there, a document made is one that the model reads, and no
// value stands in an error.
#include "secret/vault/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HIDDEN "hunter2-"

static struct vault vault;
static struct unit *units[4];

static void make_units(void)
{
    static const char *const keys[] = {
        "secrets/ns/a", "secrets/ns/vault:kv/x", "secrets/ns/vault:kv/x#pem",
        "secrets/ns/vault:pki/issue/web?common_name=a.example&trust_issuer=true"};
    vault.cfg.mount = SLD_STR("secret");
    vault.cfg.root = SLD_STR("gloo");
    for (size_t i = 0; i < SLD_ARRAY_LEN(keys); i++) {
        units[i] = unit_create(&vault, sld_str_c(keys[i]));
        SLD_INV(units[i]);
    }
}

static bool names_hidden(const struct sld_node *map)
{
    bool any = false;
    for (size_t i = 0; i < map->count; i++)
        any |= sld_str_find(map->pairs[i].key->text, SLD_STR(HIDDEN)) >= 0;
    return any;
}

static void check_document(struct sld_arena *a, const struct sld_buf *text)
{
    struct sld_document *docs;
    size_t n = 0;
    enum sld_rc rc =
        sld_doc_read(a, sld_buf_str(text), &sld_doc_limits_default, &docs, &n, NULL, NULL);
    SLD_INV(rc == SLD_LIMIT || (rc == SLD_OK && n == 1));
    if (rc)
        return;
    struct sld_str kind = sld_node_text(sld_node_get(docs[0].root, SLD_STR("kind")));
    const struct sld_node *m = sld_node_get(docs[0].root, SLD_STR("metadata"));
    SLD_INV(sld_str_eq(kind, SLD_STR("Secret")));
    SLD_INV(sld_str_eq(sld_node_text(sld_node_get(m, SLD_STR("namespace"))), SLD_STR("ns")));
}

static void make(struct sld_arena *a, const struct unit *u, const struct sld_node *data)
{
    struct document d;
    struct sld_err err = {0};
    if (!data || data->type != SLD_NODE_MAP)
        return;
    enum sld_rc rc = document_make(&d, u, data, &err);
    if (rc == SLD_OK || rc == SLD_CONFLICT) {
        check_document(a, &d.text);
        sld_buf_fini(&d.text);
    } else if (u->kind == UNIT_DATA && !names_hidden(data)) {
        SLD_INV(!strstr(err.msg, HIDDEN));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 204, 400, 403, 404, 429, 500, 503};
    if (!units[0])
        make_units();
    if (size < 2)
        return 0;
    struct sld_arena a = {0};
    const struct unit *u = units[data[0] % SLD_ARRAY_LEN(units)];
    const struct sld_http_answer in = {.status = statuses[data[1] % SLD_ARRAY_LEN(statuses)],
                                       .body = {(const char *)data + 2, size - 2}};
    struct vault_answer out = {.verdict = VAULT_DOWN, .status = in.status, .words = ""};
    vault_judge(&a, &in, &out);
    SLD_INV(out.words && (!out.data || out.data->type == SLD_NODE_MAP));
    SLD_INV(out.verdict != VAULT_OK || in.status == 204 || (in.status == 200 && out.root));
    SLD_INV((out.verdict != VAULT_MISSING && out.verdict != VAULT_DELETED) ||
            (in.status == 404 && out.root));
    if (out.verdict == VAULT_OK) {
        make(&a, u, out.data);
        make(&a, u, sld_node_get(out.data, SLD_STR("data")));
    }
    sld_arena_fini_secret(&a);
    return 0;
}
