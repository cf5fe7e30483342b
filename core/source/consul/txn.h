// Transactions on keys: several changes, all of them or none. Private to the room.
#pragma once

#include "codec/doc.h"
#include "source/consul/client.h"
#include "source/consul/item.h"

enum {
    CONSUL_TXN_OPS_MAX = 64,              // of Consul 1.8; later ones take twice as many
    CONSUL_TXN_BODY_MAX_BYTES = 512 * 1024, // of the question
};

struct consul_txn {
    struct sld_buf body;
    struct sld_json json;
    size_t count;
};
void consul_txn_init(struct consul_txn *t);
void consul_txn_fini(struct consul_txn *t);
// Adds an operation. VERB: "get", "cas", "delete-cas", "check-session"; VALUE may be absent; CHECKED:
// INDEX is what the key must have, 0 for none; SESSION may be absent. False when the body would
// become too large: nothing was added.
bool consul_txn_add(struct consul_txn *t, const char *verb, struct sld_str key, struct sld_str value,
                    bool checked, uint64_t index, struct sld_str session);
// What T asks; valid until it changes or ends.
struct sld_consul_query consul_txn_query(struct consul_txn *t);

struct consul_txn_error {
    uint64_t op;         // index of the operation
    struct sld_str what; // Consul's words
};
struct consul_txn_answer {
    struct consul_item *results; // values of get alone
    struct consul_txn_error *errors; // with any, nothing was changed
    size_t result_count, error_count;
};
// Reads the body of an answer with status 200 or 409 into A. False when it is none.
bool consul_txn_read(struct sld_arena *a, struct sld_str body, struct consul_txn_answer *out);
