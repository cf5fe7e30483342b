// Which objects a selector chooses, with the rules of Kubernetes' label selectors.
#include "model/model.h"

#include "codec/text.h"

#include <stdio.h>

#define OP(name) GLOO__SELECTOR_EXPRESSION__OPERATOR__##name

// What every entry of a map<string, string> looks like in C.
struct text_entry {
    ProtobufCMessage base;
    char *key;
    char *value;
};

_Static_assert(sizeof(struct text_entry) == sizeof(Gloo__Metadata__LabelsEntry) &&
                   offsetof(struct text_entry, value) ==
                       offsetof(Gloo__Metadata__LabelsEntry, value),
               "an entry of a map of texts has another shape");

bool sld_selector_labels_match(const void *entries, size_t n, const Gloo__Metadata *m)
{
    const struct text_entry *const *all = entries;
    for (size_t i = 0; i < n; i++) {
        const struct text_entry *e = all[i];
        SLD_PRE(e->base.descriptor->sizeof_message == sizeof(*e) &&
                e->base.descriptor->fields[1].type == PROTOBUF_C_TYPE_STRING);
        struct sld_str has = sld_metadata_label(m, sld_str_c(e->key));
        if (!has.p || !sld_str_eq(has, sld_str_c(e->value)))
            return false;
    }
    return true;
}

bool sld_namespaces_match(char *const *list, size_t n, struct sld_str ns)
{
    for (size_t i = 0; i < n; i++) {
        struct sld_str one = sld_str_c(list[i]);
        if (sld_str_eq(one, SLD_STR("*")) || sld_str_eq(one, ns))
            return true;
    }
    return false;
}

// ---- What an expression may be ----

// Letters and digits at both ends, also '-', '_' and '.' between; at most 63 characters.
static bool is_name(struct sld_str s)
{
    if (s.n == 0 || s.n > 63)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool inner = i > 0 && i + 1 < s.n && (c == '-' || c == '_' || c == '.');
        if (!alnum && !inner)
            return false;
    }
    return true;
}

static bool is_label_key(struct sld_str key)
{
    ptrdiff_t slash = sld_str_index(key, '/');
    if (slash < 0)
        return is_name(key);
    return sld_is_dns1123(sld_str_sub(key, 0, (size_t)slash)) &&
           is_name(sld_str_sub(key, (size_t)slash + 1, key.n));
}

static bool is_label_value(struct sld_str value)
{
    return value.n == 0 || is_name(value);
}

static bool is_number(const char *s)
{
    int64_t v;
    return sld_str_i64(sld_str_c(s), &v);
}

// What is wrong with E, and in which of its fields; NULL when nothing is.
static const char *expression_fault(const Gloo__SelectorExpression *e, const char **field)
{
    *field = "key";
    if (!is_label_key(sld_str_c(e->key)))
        return "is no label key: [prefix/]name of letters, digits, '-', '_' and '.'";
    *field = "values";
    switch (e->operator_) {
    case OP(Equals):
    case OP(DoubleEquals):
    case OP(NotEquals):
        if (e->n_values != 1)
            return "needs exactly one value for this operator";
        break;
    case OP(In):
    case OP(NotIn):
        if (e->n_values == 0)
            return "needs at least one value for this operator";
        break;
    case OP(Exists):
    case OP(DoesNotExist):
        if (e->n_values != 0)
            return "must be empty for this operator";
        break;
    case OP(GreaterThan):
    case OP(LessThan):
        if (e->n_values != 1 || !is_number(e->values[0]))
            return "needs exactly one whole number for this operator";
        break;
    default:
        *field = "operator";
        return "is unknown";
    }
    for (size_t i = 0; i < e->n_values; i++) {
        if (!is_label_value(sld_str_c(e->values[i])))
            return "has a value that no label can have: at most 63 letters, digits, '-', '_', '.'";
    }
    return NULL;
}

bool sld_expressions_check(struct sld_report *r, Gloo__SelectorExpression *const *e, size_t n)
{
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        const char *field, *fault = expression_fault(e[i], &field);
        if (!fault)
            continue;
        ok = false;
        char path[64];
        snprintf(path, sizeof(path), "[%zu].%s", i, field);
        sld_report_add(r, SLD_ERROR, SLD_GW_SELECTOR, sld_str_c(path), "%s %s (label \"%s\")",
                       field, fault, e[i]->key);
    }
    return ok;
}

// ---- Matching ----

static bool is_one_of(const Gloo__SelectorExpression *e, struct sld_str value)
{
    for (size_t i = 0; i < e->n_values; i++) {
        if (sld_str_eq(value, sld_str_c(e->values[i])))
            return true;
    }
    return false;
}

static bool compares(const Gloo__SelectorExpression *e, struct sld_str value)
{
    int64_t have, want;
    if (!value.p || !sld_str_i64(value, &have) || !sld_str_i64(sld_str_c(e->values[0]), &want))
        return false;
    return e->operator_ == OP(GreaterThan) ? have > want : have < want;
}

static bool expression_matches(const Gloo__SelectorExpression *e, const Gloo__Metadata *m)
{
    const char *field;
    if (expression_fault(e, &field))
        return false;
    struct sld_str value = sld_metadata_label(m, sld_str_c(e->key));
    switch (e->operator_) {
    case OP(Equals):
    case OP(DoubleEquals):
    case OP(In):
        return value.p && is_one_of(e, value);
    case OP(NotEquals):
    case OP(NotIn):
        return !value.p || !is_one_of(e, value);
    case OP(Exists):
        return value.p != NULL;
    case OP(DoesNotExist):
        return value.p == NULL;
    default:
        return compares(e, value);
    }
}

bool sld_expressions_match(Gloo__SelectorExpression *const *e, size_t n, const Gloo__Metadata *m)
{
    for (size_t i = 0; i < n; i++) {
        if (!expression_matches(e[i], m))
            return false;
    }
    return true;
}
