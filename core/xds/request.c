// Reading DiscoveryRequest, DeltaDiscoveryRequest and Node.
#include "xds/request.h"

#include <stdio.h>

// Field numbers of the two request messages; 0 = the message has no such field.
struct layout {
    uint32_t node, type_url, nonce, error, names, unsubscribe, versions, version;
};
static const struct layout layouts[] = {
    [SLD_XDS_DELTA_ADS] = {1, 2, 6, 7, 3, 4, 5, 0},
    [SLD_XDS_SOTW_ADS] = {2, 4, 5, 6, 3, 0, 0, 1},
};

static bool text_ok(struct sld_str s)
{
    return s.n <= SLD_XDS_NAME_MAX && sld_str_utf8(s, NULL);
}

// A map entry: key 1, value 2.
static bool read_pair(struct sld_str bytes, struct sld_str *key, struct sld_str *value)
{
    struct sld_wire w = sld_wire_open(bytes);
    *key = *value = SLD_STR("");
    for (struct sld_wire_field f; sld_wire_next(&w, &f);) {
        if (f.number == 1 && f.type == SLD_WIRE_LEN)
            *key = f.bytes;
        else if (f.number == 2 && f.type == SLD_WIRE_LEN)
            *value = f.bytes;
    }
    return !w.bad && text_ok(*key) && text_ok(*value);
}

// google.rpc.Status: code 1, message 2.
static bool read_status(struct sld_str bytes, struct sld_str *words)
{
    struct sld_wire w = sld_wire_open(bytes);
    *words = SLD_STR("");
    for (struct sld_wire_field f; sld_wire_next(&w, &f);) {
        if (f.number == 2 && f.type == SLD_WIRE_LEN)
            *words = f.bytes;
    }
    if (words->n > SLD_XDS_WORDS_MAX)
        words->n = SLD_XDS_WORDS_MAX;
    size_t at;
    if (!sld_str_utf8(*words, &at))
        words->n = at;
    return !w.bad;
}

static bool take(struct sld_xds_request *r, const struct layout *l, const struct sld_wire_field *f)
{
    struct sld_str key, value;
    if (f->type != SLD_WIRE_LEN)
        return true;
    if (f->number == l->node) {
        r->has_node = true;
        r->node = f->bytes;
    } else if (f->number == l->type_url) {
        r->type_url = f->bytes;
        return text_ok(f->bytes);
    } else if (f->number == l->nonce) {
        r->nonce = f->bytes;
        return text_ok(f->bytes);
    } else if (f->number == l->error) {
        r->nack = true;
        return read_status(f->bytes, &r->words);
    } else if (f->number == l->names) {
        r->names++;
        return text_ok(f->bytes);
    } else if (f->number == l->unsubscribe) {
        r->unsubscribes++;
        return text_ok(f->bytes);
    } else if (f->number == l->version) {
        r->took = f->bytes.n > 0;
    } else if (f->number == l->versions) {
        r->versions++;
        return read_pair(f->bytes, &key, &value);
    }
    return true;
}

bool sld_xds_request_read(enum sld_xds_kind kind, struct sld_str bytes, struct sld_xds_request *r)
{
    struct sld_wire w = sld_wire_open(bytes);
    *r = (struct sld_xds_request){.kind = kind,
                                  .raw = bytes,
                                  .type_url = SLD_STR(""),
                                  .nonce = SLD_STR(""),
                                  .words = SLD_STR("")};
    for (struct sld_wire_field f; sld_wire_next(&w, &f);) {
        if (!take(r, &layouts[kind], &f))
            return false;
    }
    return !w.bad;
}

struct sld_xds_names sld_xds_names_open(const struct sld_xds_request *r, enum sld_xds_list list)
{
    const struct layout *l = &layouts[r->kind];
    return (struct sld_xds_names){
        .w = sld_wire_open(r->raw),
        .field = list == SLD_XDS_SUBSCRIBE     ? l->names
                 : list == SLD_XDS_UNSUBSCRIBE ? l->unsubscribe
                                               : l->versions,
        .pairs = list == SLD_XDS_VERSIONS,
    };
}

bool sld_xds_names_next(struct sld_xds_names *it, struct sld_str *name, struct sld_str *version)
{
    for (struct sld_wire_field f; sld_wire_next(&it->w, &f);) {
        if (f.number != it->field || f.type != SLD_WIRE_LEN)
            continue;
        if (it->pairs)
            return read_pair(f.bytes, name, version);
        *name = f.bytes;
        return true;
    }
    return false;
}

// The string of KEY in an encoded google.protobuf.Struct, absent when there is none.
static struct sld_str struct_string(struct sld_str bytes, struct sld_str key)
{
    struct sld_wire w = sld_wire_open(bytes);
    for (struct sld_wire_field f; sld_wire_next(&w, &f);) {
        struct sld_str k = SLD_STR(""), v = SLD_STR("");
        struct sld_wire pair = sld_wire_open(f.bytes), value;
        for (struct sld_wire_field g; f.number == 1 && sld_wire_next(&pair, &g);) {
            if (g.number == 1)
                k = g.bytes;
            else if (g.number == 2)
                v = g.bytes;
        }
        if (!sld_str_eq(k, key))
            continue;
        value = sld_wire_open(v);
        for (struct sld_wire_field g; sld_wire_next(&value, &g);) {
            if (g.number == 3 && g.type == SLD_WIRE_LEN) // Value.string_value
                return g.bytes;
        }
    }
    return SLD_STR_NONE;
}

// "1.40.0" of a SemanticVersion, "" when there is none.
static void version_text(struct sld_str bytes, char *out, size_t cap)
{
    struct sld_wire w = sld_wire_open(bytes);
    uint64_t n[4] = {0};
    for (struct sld_wire_field f; sld_wire_next(&w, &f);) {
        if (f.type == SLD_WIRE_VARINT && f.number <= 3)
            n[f.number] = f.value;
    }
    snprintf(out, cap, "%u.%u.%u", (unsigned)n[1], (unsigned)n[2], (unsigned)n[3]);
}

static struct sld_str clip(struct sld_str s)
{
    if (s.n >= SLD_XDS_NODE_TEXT_MAX)
        s.n = SLD_XDS_NODE_TEXT_MAX - 1;
    size_t at;
    if (!sld_str_utf8(s, &at))
        s.n = at;
    return s;
}

bool sld_xds_node_read(struct sld_str bytes, struct sld_xds_node *n)
{
    struct sld_str agent = SLD_STR("unknown"), plain = SLD_STR(""), sha = SLD_STR("");
    char version[64] = "";
    struct sld_wire w = sld_wire_open(bytes);
    n->id = n->role = SLD_STR("");
    for (struct sld_wire_field f; sld_wire_next(&w, &f);) {
        if (f.type != SLD_WIRE_LEN)
            continue;
        if (f.number == 1) {
            n->id = clip(f.bytes);
        } else if (f.number == 3) {
            struct sld_str role = struct_string(f.bytes, SLD_STR("role"));
            n->role = role.p ? clip(role) : n->role;
        } else if (f.number == 6) {
            agent = clip(f.bytes);
        } else if (f.number == 7) {
            plain = clip(f.bytes);
        } else if (f.number == 8) {
            struct sld_wire b = sld_wire_open(f.bytes);
            for (struct sld_wire_field g; sld_wire_next(&b, &g);) {
                if (g.number == 1)
                    version_text(g.bytes, version, sizeof(version));
                else if (g.number == 2)
                    sha = struct_string(g.bytes, SLD_STR("revision.sha"));
            }
            sha = sha.p ? clip(sha) : SLD_STR("");
        }
    }
    if (!version[0])
        snprintf(version, sizeof(version), "%.*s", (int)(plain.n < 60 ? plain.n : 60), plain.p);
    snprintf(n->build_text, sizeof(n->build_text), "%.*s/%s%s%.*s", SLD_FMT(agent), version,
             sha.n ? "/" : "", SLD_FMT(sha));
    n->build = clip(sld_str_c(n->build_text));
    n->envoy = sld_str_eq(agent, SLD_STR("envoy"));
    return !w.bad;
}
