// From translate's resources to those of xds: the two rooms do not know each other.
#pragma once

#include "translate/translate.h"
#include "xds/xds.h"

// All changes of a round, and what it confirms, as one batch. [any]
struct sld_xds_batch *sld_publish_batch(const struct sld_translate_result *result, uint64_t round);
enum sld_out_type sld_publish_type(enum sld_xds_type t);
enum sld_xds_type sld_publish_xds_type(enum sld_out_type t);
