// Services of Consul: the discovery of that name.
#pragma once

#include "source/discovery.h"

extern const struct sld_discovery_ops sld_consul_discovery_ops;
