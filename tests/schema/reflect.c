// Codec on a pipe, for comparing it with another protobuf implementation.
//
// A request is a 4-byte big-endian length, a command byte, the length of a message type's name as
// one byte, the name, and data. The answer is a length, '+' or '-', and data or words.
//   j  wire bytes to JSON              w  JSON or YAML to wire bytes
//   r  wire bytes to wire bytes        y  wire bytes to YAML
//   c  wire bytes to those of a copy
//   s  '-' and words when a constraint of the type names an unknown format or a bad pattern
#include <stdio.h>

#include "codec/doc.h"
#include "codec/format.h"
#include "codec/regex.h"

enum { REQUEST_MAX = 1 << 24, DEPTH = 100 };

static bool read_request(struct sld_buf *in)
{
    unsigned char head[4];
    if (fread(head, 1, sizeof(head), stdin) != sizeof(head))
        return false;
    size_t n = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    sld_buf_reset(in);
    char *to = sld_buf_reserve(in, n);
    if (!to || fread(to, 1, n, stdin) != n)
        return false;
    in->n = n;
    return n >= 2;
}

static void answer(bool ok, struct sld_str data)
{
    size_t n = data.n + 1;
    unsigned char head[5] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
                             (unsigned char)(n >> 8), (unsigned char)n, ok ? '+' : '-'};
    fwrite(head, 1, sizeof(head), stdout);
    fwrite(data.p, 1, data.n, stdout);
    fflush(stdout);
}

static bool read_text(struct sld_arena *a, const ProtobufCMessageDescriptor *desc,
                      struct sld_str text, struct sld_str *out)
{
    struct sld_document *docs;
    struct sld_report r = {.arena = a};
    struct sld_err err;
    enum sld_code code;
    size_t n;
    if (sld_doc_read(a, text, &sld_doc_limits_default, &docs, &n, &code, &err) != SLD_OK ||
        n != 1) {
        *out = sld_arena_fmt(a, "%d:%d: %s", err.line, err.column, err.msg);
        return false;
    }
    ProtobufCMessage *m = sld_doc_decode(a, desc, docs[0].root, false, &r);
    if (r.errors) {
        *out =
            sld_arena_fmt(a, "%.*s: %.*s", SLD_FMT(r.items[0].path), SLD_FMT(r.items[0].message));
        return false;
    }
    *out = sld_msg_encode(a, m);
    return true;
}

static bool rules_sound(struct sld_arena *a, const struct sld_rules *u, struct sld_str *out)
{
    struct sld_err err = {0};
    *out = SLD_STR("");
    if (!u)
        return true;
    if (u->format && !sld_format_known(u->format)) {
        *out = sld_arena_fmt(a, "format %s", u->format);
        return false;
    }
    struct sld_regex *r = u->pattern ? sld_regex_create(sld_str_c(u->pattern), &err) : NULL;
    sld_regex_destroy(r);
    if (u->pattern && !r) {
        *out = sld_arena_fmt(a, "pattern %s: %s", u->pattern, err.msg);
        return false;
    }
    return rules_sound(a, u->items, out) && rules_sound(a, u->keys, out);
}

static bool type_sound(struct sld_arena *a, const struct sld_msg_info *info, struct sld_str *out)
{
    *out = SLD_STR("");
    for (unsigned i = 0; i < info->desc->n_fields; i++) {
        if (!rules_sound(a, info->fields[i].rules, out)) {
            *out = sld_arena_fmt(a, "%s: %.*s", info->fields[i].json_name, SLD_FMT(*out));
            return false;
        }
    }
    return true;
}

static bool read_wire(struct sld_arena *a, char command, const ProtobufCMessageDescriptor *desc,
                      struct sld_str data, struct sld_str *out)
{
    struct sld_err err;
    struct sld_buf text;
    ProtobufCMessage *m = sld_msg_decode(a, desc, data, DEPTH, &err);
    if (!m) {
        *out = sld_arena_str(a, sld_str_c(err.msg));
        return false;
    }
    if (command == 'c')
        m = sld_msg_copy(a, m);
    if (command == 'r' || command == 'c') {
        *out = sld_msg_encode(a, m);
        return true;
    }
    sld_buf_init(&text, REQUEST_MAX);
    sld_doc_print(&text, m, command == 'y' ? SLD_TEXT_YAML : SLD_TEXT_JSON_COMPACT, false);
    *out = sld_arena_str(a, sld_buf_str(&text));
    sld_buf_fini(&text);
    return true;
}

int main(void)
{
    struct sld_buf in;
    sld_buf_init(&in, REQUEST_MAX);
    while (read_request(&in)) {
        struct sld_arena a = {0};
        struct sld_str s = sld_buf_str(&in), out;
        bool ok = false;
        size_t name = (unsigned char)s.p[1];
        const struct sld_msg_info *info = sld_msg_find(sld_str_sub(s, 2, name));
        struct sld_str data = sld_str_sub(s, 2 + name, s.n);
        if (!info)
            out = SLD_STR("no such message");
        else if (s.p[0] == 's')
            ok = type_sound(&a, info, &out);
        else if (s.p[0] == 'w')
            ok = read_text(&a, info->desc, data, &out);
        else
            ok = read_wire(&a, s.p[0], info->desc, data, &out);
        answer(ok, out);
        sld_arena_fini(&a);
    }
    sld_buf_fini(&in);
    return 0;
}
