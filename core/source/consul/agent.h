// What the files of the client share: an agent's configuration, and how a query becomes an HTTP
// call. Private to client.c, config.c and watch.c.
#pragma once

#include "source/consul/client.h"

// An agent's address and who we are there. Strings are in the arena; absent where not given.
struct sld_consul_config {
    struct sld_arena arena;
    struct sld_str base;        // "http://127.0.0.1:8500"
    struct sld_str unix_socket; // path; base is then http://localhost
    struct sld_str token, token_file;
    struct sld_str basic; // "user:password"
    struct sld_str ca_file, ca_path, cert_file, key_file, server_name;
    struct sld_str datacenter, ns, partition;
    bool insecure;
    bool local; // the same machine: compressing costs more than it saves
    uint64_t wait_ms;
    struct sld_hash hash; // of all above
};

// Fills CFG (zeroed) from settings and environment.
SLD_NODISCARD enum sld_rc consul_config_make(struct sld_consul_config *cfg, struct sld_str agent,
                                             const struct Gloo__Settings *settings,
                                             struct sld_err *err);
void consul_config_fini(struct sld_consul_config *cfg); // wipes the token

struct sld_consul {
    struct sld_list link; // of all agents
    unsigned refs;
    struct sld_loop *loop;
    struct sld_str agent; // as given to get; own memory
    struct sld_consul_config cfg;
    // Of calls and of watches. Connections that wait are many: they do not stand in the way of calls.
    struct sld_http_client *http, *watch_http;
    struct sld_list calls;   // struct sld_consul_call
    struct sld_list watches; // struct sld_consul_watch
    struct sld_list queue;   // watches that wait for a slot, in order
    unsigned watch_count, asking;
    unsigned ceiling;           // of ASKING; 0: SLD_CONSUL_WATCHES_MAX
    uint64_t raised_ns;         // when it was lowered or raised last
    // The token file as read last.
    struct sld_arena token_arena;
    struct sld_str file_token;
    uint64_t token_stamp[3]; // size, inode, time of change
    bool down;               // the last blocking query got no answer at all
};

// Turns Q into CALL; strings are in A. WAIT: blocking by INDEX for so long; 0 = does not block. The
// token of the file is taken from FILE_TOKEN.
void consul_call_make(struct sld_arena *a, const struct sld_consul_config *cfg,
                      struct sld_str file_token, const struct sld_consul_query *q, uint64_t index,
                      uint64_t wait_ms, struct sld_http_call *call);
// The token in the file, read again when it changed; absent without one.
struct sld_str consul_file_token(struct sld_consul *c);
// The text of token file PATH in A; absent when it cannot be read.
struct sld_str consul_token_read(struct sld_arena *a, struct sld_str path);
// Reads what came; OUT->err is NULL or ERR.
void consul_answer_read(const struct sld_http_answer *from, struct sld_consul_answer *out,
                        struct sld_err *err);
// A deep copy of Q in A.
struct sld_consul_query consul_query_copy(struct sld_arena *a, const struct sld_consul_query *q);

// ---- watch.c ----

// Asks of all watches of C from now on go out anew, with the configuration in force.
void consul_watches_restart(struct sld_consul *c);
void consul_watches_stop(struct sld_consul *c);
