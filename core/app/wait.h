// Waiting until a running server has what was written.
#pragma once

#include "app/edit.h"

// Waits until the server that E's flags name has the document of content CONTENT (sld_msg_hash of its
// message; zero: any) as object ID's, and a status of it; prints what is wrong with it to stderr.
// SLD_AGAIN: not in time; SLD_INVALID: it was rejected.
SLD_NODISCARD enum sld_rc sld_wait_object(struct sld_edit *e, struct sld_ident id,
                                          struct sld_hash content, uint64_t until_ns,
                                          struct sld_err *err);
// Waits until it has no object ID any more.
SLD_NODISCARD enum sld_rc sld_wait_gone(struct sld_edit *e, struct sld_ident id, uint64_t until_ns,
                                        struct sld_err *err);
// Waits until all Envoys that are connected have taken everything; *N gets how many there are.
SLD_NODISCARD enum sld_rc sld_wait_envoys(struct sld_edit *e, uint64_t until_ns, size_t *n,
                                          struct sld_err *err);
