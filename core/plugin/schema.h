// plugin/schema: what the configuration of a plugin looks like. A plugin says it in Lua
// (solder.schema); here it is plain data, from which checks, defaults, JSON Schema and the manual come.
#pragma once

#include "codec/message.h"

enum sld_conf_type {
    SLD_CONF_BOOLEAN,
    SLD_CONF_CIDR,
    SLD_CONF_DURATION,
    SLD_CONF_ENUM,
    SLD_CONF_HEADER_NAME,
    SLD_CONF_HOST,
    SLD_CONF_INTEGER,
    SLD_CONF_LIST,
    SLD_CONF_MAP,
    SLD_CONF_NUMBER,
    SLD_CONF_RECORD,
    SLD_CONF_RESOURCE_REF,
    SLD_CONF_SECRET_REF,
    SLD_CONF_SIZE,
    SLD_CONF_STRING,
    SLD_CONF_URL,
    SLD_CONF_TYPE_COUNT
};
// "boolean", ...
const char *sld_conf_type_name(enum sld_conf_type t);

enum sld_conf_rule_kind {
    SLD_CONF_ONE_OF,       // exactly one of the fields is set
    SLD_CONF_AT_MOST_ONE,  // ...
    SLD_CONF_AT_LEAST_ONE, // ...
    SLD_CONF_DISTINCT,     // no two of them have the same value
    SLD_CONF_REQUIRES,     // the first is set only together with all others
    SLD_CONF_RULE_COUNT
};
struct sld_conf_rule {
    enum sld_conf_rule_kind kind;
    struct sld_str *fields;
    size_t count;
};

// One value's form. Immutable; lives in its plugin.
struct sld_conf {
    enum sld_conf_type type;
    struct sld_str name; // of a field of a record
    struct sld_str at;   // where the plugin says it, such as "plugin.lua:7: "; or nothing
    struct sld_str doc, pattern;
    bool required, has_min, has_max;
    double min, max; // of a number, seconds of a duration, bytes of a size; of anything else its length
    struct sld_str *values; // of an enum
    size_t value_count;
    struct sld_regex *regex; // of PATTERN, which the whole text matches
    const Google__Protobuf__Value *fallback, *example; // or NULL
    struct sld_conf *item;   // of a list or map
    struct sld_conf *fields; // of a record, by name
    size_t field_count;
    struct sld_conf_rule *rules;
    size_t rule_count;
};

// The field of a reference to a secret that holds the secret's text, where it was resolved.
#define SLD_CONF_SECRET_TEXT "\x01text"

// Frees what of C is not in an arena. NULL is fine.
void sld_conf_fini(struct sld_conf *c);
// Checks VALUE by C; findings with paths below R's prefix. NULL: nothing is set. [any]
void sld_conf_check(struct sld_report *r, const struct sld_conf *c, const Google__Protobuf__Value *value);
// What VALUE, which is a duration ("5m") or a size ("10MiB"), means in seconds or bytes; false: it is
// none. [any]
bool sld_conf_quantity(enum sld_conf_type type, const Google__Protobuf__Value *value, double *out);
// JSON Schema (draft 2020-12), with all rules but SLD_CONF_DISTINCT, which it has no words for. [any]
void sld_conf_print_json(struct sld_buf *out, const struct sld_conf *c);
// The fields as Markdown. [any]
void sld_conf_print_manual(struct sld_buf *out, const struct sld_conf *c);
