// solder.yaml and solder.x509: documents and certificates, by the codec.
#include "codec/doc.h"
#include "codec/x509.h"
#include "plugin/library.h"
#include "plugin/value.h"

// ---- yaml ----

static const struct sld_doc_limits yaml_limits = {1 << 20, 32, 100000, 100};

static void push_tree(lua_State *L, const struct sld_node *n, const Google__Protobuf__Value *v);

static void push_map(lua_State *L, const struct sld_node *n, const Google__Protobuf__Struct *v)
{
    lua_createtable(L, 0, (int)n->count);
    for (size_t i = 0; i < n->count; i++) {
        pl_push_str(L, n->pairs[i].key->text);
        push_tree(L, n->pairs[i].value, v->fields[i]->value);
        lua_rawset(L, -3);
    }
}

// Values as configurations have them, but null and empty lists stay what they are.
static void push_tree(lua_State *L, const struct sld_node *n, const Google__Protobuf__Value *v)
{
    luaL_checkstack(L, 8, NULL);
    switch (v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        push_map(L, n, v->struct_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        lua_createtable(L, (int)n->count, 0);
        for (size_t i = 0; i < n->count; i++) {
            push_tree(L, n->items[i], v->list_value->values[i]);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        pl_mark_array(L, -1);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE:
        pl_push_null(L);
        break;
    default:
        pl_push_value(L, v);
    }
}

// Pushes one document; false with words in ERR.
static bool push_document(lua_State *L, struct sld_arena *a, const struct sld_document *d, struct sld_err *err)
{
    struct sld_report r = {.arena = a};
    if (!d->root) {
        pl_push_null(L);
        return true;
    }
    const Google__Protobuf__Value *v = sld_doc_decode(a, &google__protobuf__value__descriptor, d->root, false, &r);
    if (r.errors) {
        sld_err_set(err, SLD_INVALID, "%.*s", SLD_FMT(r.items[0].message));
        return false;
    }
    push_tree(L, d->root, v);
    return true;
}

static int yaml_read(lua_State *L, bool all)
{
    struct sld_str text = pl_arg(L, 1);
    struct sld_err err = {0};
    struct sld_document *docs;
    enum sld_code code;
    size_t n = 0;
    pl_spend(L, text.n);
    struct sld_arena *a = pl_arena(L);
    enum sld_rc rc = sld_doc_read(a, text, &yaml_limits, &docs, &n, &code, &err);
    if (!rc && !all && n != 1)
        rc = sld_err_set(&err, SLD_INVALID, "%zu documents instead of one; yaml.decode_all reads several", n);
    if (!rc && all) {
        lua_createtable(L, (int)n, 0);
        pl_mark_array(L, -1);
    }
    for (size_t i = 0; !rc && i < n; i++) {
        if (!push_document(L, a, &docs[i], &err))
            rc = SLD_INVALID;
        else if (all)
            lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    pl_arena_done(a);
    if (!rc)
        return 1;
    return err.line ? pl_not_right(L, "line %d: %s", err.line, err.msg) : pl_not_right(L, "%s", err.msg);
}

static int yaml_decode(lua_State *L)
{
    return yaml_read(L, false);
}

static int yaml_decode_all(lua_State *L)
{
    return yaml_read(L, true);
}

static const struct pl_binding yaml_bindings[] = {
    {.name = "decode", .fn = yaml_decode,
     .doc = "Reads one YAML document, as Solder reads its own: at most 1 MiB, 32 levels and 100000 nodes with aliases expanded. null is json.null.",
     .params = {{"text", "string", "YAML in UTF-8; JSON is YAML too."}}, .returns = {{"value?", "any", "nil: it is not valid."}, {"words?", "string", ""}},
     .example = "local doc = assert(yaml.decode(\"users: [ada, bob]\\nlimit: 5\\n\"))\nassert(doc.users[2] == \"bob\" and doc.limit == 5)\n"
                "local nothing, words = yaml.decode(\"a: 1\\nb: [\\n\")\nassert(nothing == nil and words:find(\"line\", 1, true))"},
    {.name = "decode_all", .fn = yaml_decode_all, .doc = "Reads all documents of a text, at most 100.", .params = {{"text", "string", ""}},
     .returns = {{"values?", "any[]", "nil: it is not valid."}, {"words?", "string", ""}},
     .example = "assert(#yaml.decode_all(\"a: 1\\n---\\na: 2\\n\") == 2)"},
};
const struct pl_module pl_yaml = {.name = "solder.yaml", .doc = "YAML, read within ceilings.", PL_BINDINGS(yaml_bindings)};

// ---- x509 ----

static void set_str(lua_State *L, const char *key, struct sld_str s)
{
    if (!s.n)
        return;
    pl_push_str(L, s);
    lua_setfield(L, -2, key);
}

static void set_int(lua_State *L, const char *key, lua_Integer n)
{
    lua_pushinteger(L, n);
    lua_setfield(L, -2, key);
}

static void push_facts(lua_State *L, const struct sld_cert_facts *f)
{
    lua_createtable(L, 0, 10);
    set_str(L, "subject", f->subject);
    set_str(L, "issuer", f->issuer);
    set_str(L, "serial", f->serial);
    set_str(L, "fingerprint", f->fingerprint);
    set_str(L, "key", f->key);
    set_int(L, "key_bits", f->key_bits);
    set_int(L, "not_before", f->not_before);
    set_int(L, "not_after", f->not_after);
    set_int(L, "chain_length", (lua_Integer)f->chain_length);
    lua_createtable(L, (int)f->alt_name_count, 0);
    pl_mark_array(L, -1);
    for (size_t i = 0; i < f->alt_name_count; i++) {
        lua_createtable(L, 0, 2);
        set_str(L, "type", sld_str_c(f->alt_names[i].type));
        set_str(L, "value", f->alt_names[i].value);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "names");
}

static int x509_read(lua_State *L)
{
    enum { PEM_MAX = 256 << 10, CERT_STEPS = 5000 };
    struct sld_cert_facts f;
    struct sld_err err = {0};
    struct sld_str pem = pl_arg(L, 1);
    if (pem.n > PEM_MAX)
        return pl_not_right(L, "a certificate chain of %zu bytes, at most %d", pem.n, PEM_MAX);
    pl_spend(L, CERT_STEPS + pem.n);
    struct sld_arena *a = pl_arena(L);
    enum sld_rc rc = sld_cert_read(a, pem, &f, &err);
    if (!rc)
        push_facts(L, &f);
    pl_arena_done(a);
    return rc ? pl_not_right(L, "%s", err.msg) : 1;
}

static const struct pl_value facts[] = {
    {"subject?", "string", "Its name, as RFC 2253 has it; nil: it is empty."},
    {"issuer?", "string", "Who signed it."},
    {"serial", "string", "Hexadecimal."},
    {"fingerprint", "string", "SHA-256 of the certificate, hexadecimal."},
    {"key", "string", "RSA, EC, ED25519, or another."},
    {"key_bits", "integer", ""},
    {"not_before", "integer", "Unix seconds."},
    {"not_after", "integer", "Unix seconds."},
    {"chain_length", "integer", "How many certificates the text has."},
    {"names", "x509.Name[]", "Subject alternative names."},
};
static const struct pl_value name_fields[] = {{"type", "\"dns\"|\"ip\"|\"uri\"|\"email\"", ""}, {"value", "string", ""}};
static const struct pl_class x509_classes[] = {
    {.name = "x509.Facts", .doc = "What a certificate says. It is read, not verified.", PL_FIELDS(facts)},
    {.name = "x509.Name", .doc = "A subject alternative name.", PL_FIELDS(name_fields)},
};
// A certificate for the example, of an Ed25519 key.
#define EXAMPLE_PEM                                                                                                            \
    "-----BEGIN CERTIFICATE-----\n"                                                                                            \
    "MIIBgjCCATSgAwIBAgIUCFykPSRMcnZHqMAzpYhGRJU7pAwwBQYDK2VwMA4xDDAK\n"                                                       \
    "BgNVBAMMA2FkYTAgFw0yNjExMzAxNjI2MThaGA8yMTI2MTEwNjE2MjYxOFowDjEM\n"                                                       \
    "MAoGA1UEAwwDYWRhMCowBQYDK2VwAyEAXxYidKWxYiQVvuIrHQqKt3Xv/TUty2zy\n"                                                       \
    "U+piwsnIERujgaEwgZ4wHQYDVR0OBBYEFC3EZKwON2/Daql5aZBsCWnPyNpaMB8G\n"                                                       \
    "A1UdIwQYMBaAFC3EZKwON2/Daql5aZBsCWnPyNpaMA8GA1UdEwEB/wQFMAMBAf8w\n"                                                       \
    "SwYDVR0RBEQwQoIPYWRhLmV4YW1wbGUub3JnhwTAAAIBhhhzcGlmZmU6Ly9leGFt\n"                                                       \
    "cGxlLm9yZy9hZGGBD2FkYUBleGFtcGxlLm9yZzAFBgMrZXADQQD3ZKyGmD11nSIB\n"                                                       \
    "Xg41wP7RE3uHAjClfufQWD98ZIUngJ9eYrOaFUVrLJT7q7QCC/3LA1rhx23jsXJq\n"                                                       \
    "mAYAFwED\n"                                                                                                               \
    "-----END CERTIFICATE-----\n"
static const struct pl_binding x509_bindings[] = {
    {.name = "parse", .fn = x509_read, .doc = "Reads a certificate, the first of a chain, in PEM form. Nothing is verified.",
     .params = {{"pem", "string", "At most 256 KiB."}}, .returns = {{"facts?", "x509.Facts", "nil: it cannot be read."}, {"words?", "string", ""}},
     .example = "local facts = assert(x509.parse[[\n" EXAMPLE_PEM "]])\n"
                "assert(facts.subject == \"CN=ada\" and facts.key == \"ED25519\" and facts.names[1].value == \"ada.example.org\")\n"
                "assert(#facts.fingerprint == 64 and facts.not_after > facts.not_before)\nassert(not x509.parse(\"nothing\"))"},
};
const struct pl_module pl_x509 = {.name = "solder.x509", .doc = "Facts of certificates.", PL_BINDINGS(x509_bindings), PL_CLASSES(x509_classes)};
