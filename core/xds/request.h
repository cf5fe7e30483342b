// Requests of both protocols, read in place: slices point into the message, names are walked, not copied.
#pragma once

#include "xds/limits.h"
#include "xds/wire.h"
#include "xds/xds.h"

// What the first message of a stream says about its sender; slices of the message but for `build`.
struct sld_xds_node {
    struct sld_str id, role;
    struct sld_str build; // "envoy/1.40.0/<sha>", in build_text
    bool envoy;
    char build_text[SLD_XDS_NODE_TEXT_MAX];
};

struct sld_xds_request {
    enum sld_xds_kind kind;
    struct sld_str raw;
    bool has_node;
    struct sld_str node;    // encoded
    struct sld_str type_url, nonce;
    bool nack;              // error_detail is there
    struct sld_str words;   // its message, cut to SLD_XDS_WORDS_MAX
    size_t names;           // resource_names, resource_names_subscribe
    size_t unsubscribes, versions;
    bool took;              // state of the world: it has a version, so it took a response before
};

// Reads BYTES into *R; false when it is no such message, a text is not UTF-8 or a name too long.
bool sld_xds_request_read(enum sld_xds_kind kind, struct sld_str bytes, struct sld_xds_request *r);
// Reads the encoded Node; false on garbage.
bool sld_xds_node_read(struct sld_str bytes, struct sld_xds_node *n);

enum sld_xds_list { SLD_XDS_SUBSCRIBE, SLD_XDS_UNSUBSCRIBE, SLD_XDS_VERSIONS };
struct sld_xds_names {
    struct sld_wire w;
    uint32_t field;
    bool pairs;
};
// Walks one list of a request that was read; VERSION is filled for SLD_XDS_VERSIONS.
struct sld_xds_names sld_xds_names_open(const struct sld_xds_request *r, enum sld_xds_list list);
bool sld_xds_names_next(struct sld_xds_names *it, struct sld_str *name, struct sld_str *version);
