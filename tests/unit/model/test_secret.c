// Secrets in all their forms (gloo-compat 2.5, 2.6), and that they stay secret.
#include "support.h"

#include "secret.pb-c.h"

static Gloo__Secret *decode(struct fixture *f, const char *text)
{
    struct sld_ident id = {SLD_KIND_SECRET, SLD_STR("ns"), SLD_STR("s")};
    f->r = (struct sld_report){.arena = &f->a};
    return sld_model_decode(&f->a, id, tree(f, text), NULL, &f->r);
}

static Gloo__Secret *clean(struct fixture *f, const char *text)
{
    Gloo__Secret *s = decode(f, text);
    for (size_t i = 0; i < f->r.count; i++)
        print_message("%.*s: %.*s\n", SLD_FMT(f->r.items[i].path), SLD_FMT(f->r.items[i].message));
    assert_int_equal(f->r.count, 0);
    assert_string_equal(s->metadata->name, "s");
    return s;
}

static const struct sld_finding *told(struct fixture *f, enum sld_code code, const char *path)
{
    return finding(f->r.items, f->r.count, code, path);
}

#define KUBE(type, rest)                                                                           \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: ns}\ntype: " type "\n" rest

// ---- Gloo's own form ----

static void test_own_form(void **state)
{
    struct fixture *f = *state;
    Gloo__Secret *s = clean(f, "metadata: {name: s}\ntls: {certChain: c, privateKey: k, rootCa: r, "
                               "ocspStaple: aGk=}\n");
    assert_int_equal(s->kind_case, GLOO__SECRET__KIND_TLS);
    assert_string_equal(s->tls->private_key, "k");
    assert_int_equal(s->tls->ocsp_staple.len, 2);
    s = clean(f, "metadata: {name: s}\naws: {accessKey: a, secretKey: b, sessionToken: c}\n");
    assert_string_equal(s->aws->secret_key, "b");
    s = clean(f, "metadata: {name: s}\nazure: {apiKeys: {_master: k}}\n");
    assert_string_equal(s->azure->api_keys[0]->key, "_master");
    s = clean(f, "metadata: {name: s}\nheader: {headers: {Authorization: Bearer x}}\n");
    assert_string_equal(s->header->headers[0]->value, "Bearer x");
    s = clean(f, "metadata: {name: s}\ncredentials: {username: u, password: p}\n");
    assert_string_equal(s->credentials->password, "p");
    s = clean(f, "metadata: {name: s}\napiKey: {apiKey: k, labels: [a=b], metadata: {x: y}}\n");
    assert_string_equal(s->api_key->labels[0], "a=b");
    s = clean(f, "metadata: {name: s}\noauth: {clientSecret: c}\n");
    assert_string_equal(s->oauth->client_secret, "c");
    s = clean(f, "apiVersion: gloo.solo.io/v1\nkind: Secret\nmetadata: {name: s}\n"
                 "encryption: {key: 01234567890123456789012345678901}\n");
    assert_int_equal(s->kind_case, GLOO__SECRET__KIND_ENCRYPTION);
    s = clean(f, "apiVersion: gloo.solo.io/v1\nkind: Secret\nmetadata: {name: s}\n"
                 "spec: {oauth: {clientSecret: c}}\n");
    assert_string_equal(s->oauth->client_secret, "c");
}

static void test_own_form_needs_one_kind(void **state)
{
    struct fixture *f = *state;
    decode(f, "metadata: {name: s}\n");
    told(f, SLD_FIELD_REQUIRED, "");
    decode(f, "metadata: {name: s}\ntls: {}\noauth: {}\n");
    told(f, SLD_FIELD_ONEOF, "oauth");
    decode(f, "metadata: {name: s}\nheaders: {}\n");
    assert_true(mentions(told(f, SLD_FIELD_UNKNOWN, "headers")->message, "mean \"header\""));
}

// ---- Kubernetes ----

static void test_kubernetes_tls(void **state)
{
    Gloo__Secret *s =
        clean(*state, KUBE("kubernetes.io/tls",
                           "data:\n  tls.crt: Y2hhaW4=\n  tls.key: a2V5\n  ca.crt: cm9vdA==\n"
                           "  tls.ocsp-staple: AAH/\n  other: eA==\n"));
    assert_int_equal(s->kind_case, GLOO__SECRET__KIND_TLS);
    assert_string_equal(s->tls->cert_chain, "chain");
    assert_string_equal(s->tls->private_key, "key");
    assert_string_equal(s->tls->root_ca, "root");
    assert_int_equal(s->tls->ocsp_staple.len, 3);
    assert_memory_equal(s->tls->ocsp_staple.data, "\0\1\377", 3);
}

static void test_string_data_wins(void **state)
{
    Gloo__Secret *s =
        clean(*state, KUBE("kubernetes.io/tls", "data: {tls.crt: b2xk, tls.key: a2V5}\n"
                                                "stringData: {tls.crt: plain}\n"));
    assert_string_equal(s->tls->cert_chain, "plain");
    assert_string_equal(s->tls->private_key, "key");
    s = clean(*state, KUBE("Opaque", "data: {x: b2xk}\nstringData: {x: new, y: z}\n"));
    assert_int_equal(s->header->n_headers, 2);
    assert_string_equal(s->header->headers[0]->value, "new");
}

static void test_kubernetes_aws_of_any_type(void **state)
{
    static const char *const types[] = {
        KUBE("Opaque", "stringData: {aws_access_key_id: i, aws_secret_access_key: k}\n"),
        KUBE("example.com/mine", "stringData: {aws_access_key_id: i, aws_secret_access_key: k}\n"),
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(types); i++) {
        Gloo__Secret *s = clean(*state, types[i]);
        assert_string_equal(s->aws->access_key, "i");
        assert_string_equal(s->aws->secret_key, "k");
        assert_string_equal(s->aws->session_token, "");
    }
    Gloo__Secret *s =
        clean(*state, KUBE("Opaque", "data: {aws_access_key_id: aQ==, aws_secret_access_key: aw==, "
                                     "aws_session_token: dA==}\n"));
    assert_string_equal(s->aws->session_token, "t");
}

static void test_kubernetes_enterprise_types(void **state)
{
    Gloo__Secret *s = clean(
        *state, KUBE("extauth.solo.io/apikey", "stringData: {api-key: k, user-id: u, team: t}\n"));
    assert_string_equal(s->api_key->api_key, "k");
    assert_int_equal(s->api_key->n_metadata, 2);
    s = clean(*state, KUBE("extauth.solo.io/oauth", "stringData: {client-secret: c}\n"));
    assert_string_equal(s->oauth->client_secret, "c");
    s = clean(*state, KUBE("extauth.solo.io/accountcredentials",
                           "stringData: {username: u, password: p}\n"));
    assert_string_equal(s->credentials->username, "u");
    s = clean(*state, KUBE("gloo.solo.io.EncryptionKeySecret",
                           "stringData: {key: '01234567890123456789012345678901'}\n"));
    assert_string_equal(s->encryption->key, "01234567890123456789012345678901");
}

#define NATIVE(data)                                                                               \
    "apiVersion: v1\nkind: Secret\ntype: Opaque\nmetadata:\n  name: s\n  annotations:\n"           \
    "    resource_kind: '*v1.Secret'\nstringData:\n" data

static void test_native_secret_in_kubernetes(void **state)
{
    struct fixture *f = *state;
    Gloo__Secret *s = clean(f, NATIVE("  tls: |\n    certChain: c\n    privateKey: k\n"));
    assert_string_equal(s->tls->cert_chain, "c");
    s = clean(f, NATIVE("  azure: '{apiKeys: {a: b}}'\n"));
    assert_string_equal(s->azure->api_keys[0]->value, "b");
    decode(f, NATIVE("  tls: '{{'\n"));
    assert_true(mentions(told(f, SLD_FIELD_FORMAT, "[\"tls\"]")->message, "one YAML document"));
    decode(f, NATIVE("  tsl: '{}'\n"));
    told(f, SLD_FIELD_UNKNOWN, "tsl");
}

// An alias bomb in every key costs no more than one small document.
static void test_native_secret_has_ceilings(void **state)
{
    struct fixture *f = *state;
    struct sld_buf b;
    sld_buf_init(&b, 1 << 20);
    sld_buf_addz(&b, NATIVE("  tls: |\n    a: &a [x,x,x,x,x,x,x,x,x,x]\n"));
    for (char c = 'b'; c < 'k'; c++)
        sld_buf_addf(&b, "    %c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c - 1,
                     c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
    sld_buf_addc(&b, 0);
    decode(f, b.p);
    sld_buf_fini(&b);
    told(f, SLD_FIELD_FORMAT, "[\"tls\"]");
    assert_true(f->a.used_bytes < 64 << 20);
}

// gloo-compat 9.1: opaque Kubernetes secrets all become header secrets.
static void test_opaque_is_headers(void **state)
{
    static const char *const forms[] = {
        KUBE("Opaque", "data: {Authorization: QmVhcmVyIHg=}\n"),
        KUBE("gloo.solo.io/header", "stringData: {Authorization: Bearer x}\n"),
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {Authorization: Bearer "
        "x}\n",
        "metadata: {name: s}\nstringData: {Authorization: Bearer x}\n",
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(forms); i++) {
        Gloo__Secret *s = clean(*state, forms[i]);
        assert_int_equal(s->header->n_headers, 1);
        assert_string_equal(s->header->headers[0]->key, "Authorization");
        assert_string_equal(s->header->headers[0]->value, "Bearer x");
    }
}

static void test_values_that_are_no_text(void **state)
{
    struct fixture *f = *state;
    Gloo__Secret *s = decode(f, KUBE("Opaque", "data: {store.jks: /+7+, a: AGI=, ok: b2s=}\n"));
    assert_int_equal(f->r.errors + f->r.warnings, 0);
    assert_int_equal(s->header->n_headers, 1);
    assert_int_equal(told(f, SLD_FIELD_FORMAT, "header.headers[\"store.jks\"]")->severity,
                     SLD_NOTE);
    decode(f, KUBE("kubernetes.io/tls", "data: {tls.crt: /+7+, tls.key: a2V5}\n"));
    assert_true(mentions(told(f, SLD_FIELD_FORMAT, "tls.certChain")->message,
                         "data key \"tls.crt\" is not UTF-8 text"));
}

static void test_mistakes_in_kubernetes_secrets(void **state)
{
    struct fixture *f = *state;
    decode(f, KUBE("kubernetes.io/tls", "data: {tls.crt: '%%%', tls.key: [a]}\n"));
    assert_true(mentions(told(f, SLD_FIELD_FORMAT, "tls.certChain")->message,
                         "write it as it is below stringData"));
    assert_true(mentions(told(f, SLD_FIELD_FORMAT, "tls.privateKey")->message, "tls.key"));
    decode(f, KUBE("Opaque", "data: text\n"));
    told(f, SLD_FIELD_TYPE, "data");
    decode(f, KUBE("Opaque", "data: {a: aGk=}\ntls: {certChain: x}\n"));
    assert_true(mentions(told(f, SLD_FIELD_UNKNOWN, "tls")->message, "gloo.solo.io/v1"));
    decode(f, KUBE("Opaque", "immutable: true\n"));
    assert_int_equal(told(f, SLD_FIELD_REQUIRED, "data")->severity, SLD_ERROR);
}

// ---- Staying secret ----

#define VALUE "hunter2hunter2"

static void no_value(struct fixture *f)
{
    assert_true(f->r.count > 0);
    for (size_t i = 0; i < f->r.count; i++)
        assert_false(mentions(f->r.items[i].message, "hunter"));
}

static void test_findings_show_no_values(void **state)
{
    struct fixture *f = *state;
    static const char *const docs[] = {
        "metadata: {name: s}\ntls: " VALUE "\n",
        "metadata: {name: s}\ntls: {ocspStaple: '" VALUE "%'}\n",
        "metadata: {name: s}\nheader: {headers: {a: [" VALUE "]}}\n",
        "metadata: {name: s}\nencryption: {key: " VALUE "}\n",
        "metadata: {name: s}\nheader: " VALUE "\n",
        KUBE("Opaque", "data: {a: '" VALUE "%'}\n"),
        KUBE("Opaque", "data: " VALUE "\n"),
        NATIVE("  tls: " VALUE "\n"),
        NATIVE("  tls: '{{ " VALUE "'\n"),
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(docs); i++) {
        decode(f, docs[i]);
        assert_true(f->r.errors > 0);
        no_value(f);
    }
}

static void test_findings_about_metadata_keep_their_words(void **state)
{
    struct fixture *f = *state;
    decode(f, "metadata: {name: s, labels: text}\noauth: {clientSecret: x}\n");
    assert_true(mentions(told(f, SLD_FIELD_TYPE, "metadata.labels")->message, "found text"));
}

static void test_prints_are_redacted(void **state)
{
    struct fixture *f = *state;
    static const char *const docs[] = {
        "metadata: {name: s}\ntls: {certChain: c, privateKey: " VALUE "}\n",
        "metadata: {name: s}\nheader: {headers: {a: " VALUE "}}\n",
        "metadata: {name: s}\naws: {accessKey: a, secretKey: " VALUE "}\n",
        "metadata: {name: s}\nextensions: {configs: {a: {b: " VALUE "}}}\n",
        KUBE("extauth.solo.io/apikey", "stringData: {api-key: k, x: " VALUE "}\n"),
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n  annotations:\n"
        "    kubectl.kubernetes.io/last-applied-configuration: " VALUE "\nstringData: {a: b}\n",
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(docs); i++) {
        struct sld_buf b;
        sld_buf_init(&b, 1 << 16);
        sld_doc_print(&b, &clean(f, docs[i])->base, SLD_TEXT_YAML, true);
        assert_false(mentions(sld_buf_str(&b), "hunter"));
        assert_true(mentions(sld_buf_str(&b), "***"));
        sld_buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_own_form),
        T(test_own_form_needs_one_kind),
        T(test_kubernetes_tls),
        T(test_string_data_wins),
        T(test_kubernetes_aws_of_any_type),
        T(test_kubernetes_enterprise_types),
        T(test_native_secret_in_kubernetes),
        T(test_native_secret_has_ceilings),
        T(test_opaque_is_headers),
        T(test_values_that_are_no_text),
        T(test_mistakes_in_kubernetes_secrets),
        T(test_findings_show_no_values),
        T(test_findings_about_metadata_keep_their_words),
        T(test_prints_are_redacted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
