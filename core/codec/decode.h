// Inside codec: decoding trees to messages.
#pragma once

#include "codec/doc.h"
#include "codec/path.h"
#include "codec/walk.h"

struct dec {
    struct sld_arena *a;
    struct sld_report *r;
    bool lenient;
};

// Adds an error finding at PATH; false.
bool dec_fail(struct dec *d, const struct path *at, enum sld_code code, const char *fmt, ...)
    SLD_PRINTF(4, 5);
// "field expected a WHAT, found a mapping"; false.
bool dec_type(struct dec *d, const struct path *at, const char *what, const struct sld_node *n);

// Decode N into the fields of M; SKIP is a key to be passed over (absent: none).
bool dec_fields(struct dec *d, ProtobufCMessage *m, const struct sld_node *n, const struct path *at,
                struct sld_str skip);
// Decode N into M, whatever its JSON form.
bool dec_message(struct dec *d, ProtobufCMessage *m, const struct sld_node *n,
                 const struct path *at);
// Decode N into one value of F at P. A message is made new.
bool dec_value(struct dec *d, const ProtobufCFieldDescriptor *f, const struct sld_node *n,
               const struct path *at, void *p);
// Decode N into a number, bool, enum, string or bytes value.
bool dec_scalar(struct dec *d, const ProtobufCFieldDescriptor *f, const struct sld_node *n,
                const struct path *at, void *p);
// The same for messages with a JSON form of their own.
bool dec_known(struct dec *d, const struct sld_msg_info *info, ProtobufCMessage *m,
               const struct sld_node *n, const struct path *at);

// YAML's and JSON's words and numbers for values of unknown type.
bool dec_bool_word(struct sld_str s, bool *out);
bool dec_double(const struct sld_node *n, double *out);

// The name among N names nearest to WORD, or an absent slice when none is near.
struct sld_str dec_nearest(struct sld_str word, struct sld_str (*name)(const void *table, size_t i),
                           const void *table, size_t n);
