// Server-side TLS over memory: bytes of the wire in, plain text out, and back. mbedTLS stays inside.
// All on the io thread. Room-internal.
#pragma once

#include "net/http.h"

struct sld_tls_config; // certificate, key, client CA; counted
struct sld_tls;        // one connection

// SLD_INVALID when the PEM texts cannot be used.
SLD_NODISCARD enum sld_rc sld_tls_config_create(const struct sld_http_tls *t,
                                                struct sld_tls_config **out, struct sld_err *err);
void sld_tls_config_unref(struct sld_tls_config *c); // NULL is fine

// A connection in which the handshake has yet to come. Holds C.
struct sld_tls *sld_tls_create(struct sld_tls_config *c);
void sld_tls_destroy(struct sld_tls *t); // NULL is fine
// Takes bytes of the wire.
void sld_tls_feed(struct sld_tls *t, struct sld_str wire);
// Goes on with the handshake and decrypts: > 0 bytes of plain text in BUF, 0 when more wire bytes are
// needed, -1 at the end or on an error. Every call may leave something in the output.
int sld_tls_read(struct sld_tls *t, char *buf, size_t size);
// Encrypts PLAIN into the output; false before the handshake is done or on an error.
bool sld_tls_write(struct sld_tls *t, struct sld_str plain);
// Puts the goodbye into the output.
void sld_tls_close(struct sld_tls *t);
// What has to go to the wire; the caller takes it and calls sld_buf_reset.
struct sld_buf *sld_tls_output(struct sld_tls *t);
