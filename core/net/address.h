// Addresses servers listen on, and unix sockets that a second server cannot steal.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include "base/base.h"

enum { SLD_NET_TEXT_MAX = 64 };

struct sld_net_address {
    bool is_unix;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; // when is_unix
    struct sockaddr_storage sa;
    socklen_t sa_len;
    char text[SLD_NET_TEXT_MAX];                              // numeric "host:port", brackets for IPv6
};

// "127.0.0.1:80", "[::1]:80", ":80" (every address), "localhost:80" (its first address; asks the
// resolver and may block), "unix:/path". SLD_INVALID on anything else.
SLD_NODISCARD enum sld_rc sld_net_address_parse(struct sld_str s, struct sld_net_address *out,
                                                struct sld_err *err);
// A unix socket, or a loopback address: nobody else's machine reaches it.
bool sld_net_address_local(const struct sld_net_address *a);
// "127.0.0.1:80", "[::1]:80" or "unix" for a socket address.
void sld_net_address_text(const struct sockaddr *sa, char *out, size_t size);
// Tells whether a TCP address can be bound: SLD_CONFLICT when in use, SLD_DENIED, SLD_INVALID when
// the machine does not have it.
SLD_NODISCARD enum sld_rc sld_net_probe(const struct sld_net_address *a, struct sld_err *err);
// The same outcome for the errno of a failed bind.
enum sld_rc sld_net_bind_error(struct sld_err *err, int errnum, const char *what);

// The right to bind a unix socket path: a locked file <path>.lock next to it.
struct sld_unix_claim {
    int lock_fd; // -1 = none
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char lock_path[sizeof(((struct sockaddr_un *)0)->sun_path) + 8];
};

// Takes the claim and removes a dead socket file. SLD_CONFLICT when a live process holds the claim
// or answers on the socket, or when the path is something else than a socket.
SLD_NODISCARD enum sld_rc sld_unix_claim_take(struct sld_unix_claim *c, const char *path,
                                              struct sld_err *err);
// Removes the socket file and the lock. NULL and a claim with lock_fd -1 are fine.
void sld_unix_claim_release(struct sld_unix_claim *c);
