// Statuses within the values of objects, as Gloo keeps them there: namespacedStatuses, by the
// namespace of who reports; in documents of Kubernetes' form, status. Private to the room. [any]
#pragma once

#include "model/model.h"

// What a value says.
struct consul_value {
    struct sld_hash content; // the hash of all but statuses
    struct sld_hash status;  // of the status asked for, as of consul_status_hash; zero: there is none
    bool any;                // there are statuses, of whomever
};
// Reads VALUE as far as that; NS: who reports the status asked for. Costs little more than reading
// the text of the statuses.
void consul_value_read(struct sld_str value, struct sld_str ns, struct consul_value *out);

// VALUE with STATUS as that of NS, in A. Its text is kept but for the statuses; where that cannot be,
// because statuses stand within a line of other things, it is printed anew. SLD_INVALID: there is
// nothing in it that could have a status.
SLD_NODISCARD enum sld_rc consul_value_write(struct sld_arena *a, struct sld_str value,
                                             struct sld_str ns, const struct sld_status *status,
                                             struct sld_str *out, struct sld_err *err);

// The hash of what is kept of STATUS.
struct sld_hash consul_status_hash(const struct sld_status *status);
