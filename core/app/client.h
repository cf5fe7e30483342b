// The admin API as the command line asks it.
#pragma once

#include "app/flags.h"
#include "codec/doc.h"

// Flags of every command that asks a server, for its table (--admin, --admin-ca, --token-file).
#define SLD_CLIENT_FLAGS                                                                           \
    {.name = "admin",                                                                              \
     .arg = "ADDR",                                                                                \
     .env = "SOLDER_ADMIN",                                                                        \
     .help = "the server: host:port, unix:/path or a URL; default 127.0.0.1:9091"},                \
        {.name = "admin-ca",                                                                       \
         .arg = "FILE",                                                                            \
         .env = "SOLDER_CACERT",                                                                   \
         .help = "authorities of the server's certificate; with it TLS is used"},                  \
        {.name = "admin-cert",                                                                     \
         .arg = "FILE",                                                                            \
         .env = "SOLDER_CLIENT_CERT",                                                              \
         .help = "certificate to show the server"},                                                \
    {                                                                                              \
        .name = "admin-key", .arg = "FILE", .env = "SOLDER_CLIENT_KEY", .help = "its private key"  \
    }

// Asks for PATH (with query, percent-encoded) and reads the answer. An answer of status 400 or more
// is an error with the problem's words; SLD_NOT_FOUND for 404. BODY lives in A.
SLD_NODISCARD enum sld_rc sld_client_get(struct sld_arena *a, const struct sld_args *args,
                                         struct sld_str path, struct sld_str *body,
                                         struct sld_err *err);
// The same, read as JSON.
SLD_NODISCARD enum sld_rc sld_client_get_json(struct sld_arena *a, const struct sld_args *args,
                                              struct sld_str path, struct sld_node **root,
                                              struct sld_err *err);
// S percent-encoded as one part of a path or query.
struct sld_str sld_client_escape(struct sld_arena *a, struct sld_str s);
